//! The allocators of a process, and where they would be probed.

use super::finding::{Finding, Level};
use crate::{
    allocators::UserFunctions,
    process::{AddressSpace, MappedFile},
    tracer::{
        PlannedProbe, ProbePlan, Search,
        probe_point::{Price, ProbePoint},
    },
};

/// The plans for what a process has mapped, each with the file's path.
pub fn plans(space: &AddressSpace) -> Vec<(String, ProbePlan)> {
    // Nothing is named by the user here, so that it does not matter which file is the program's own.
    let user = UserFunctions::default();
    let search = Search { user: &user, is_executable: false };
    let plan = |mapped: &MappedFile| {
        let file = mapped.file.as_ref()?;
        let plan = ProbePlan::of(file, &mapped.path, search);
        Some((mapped.path.to_string(), plan.inspect_err(|error| log::info!("{error}")).ok()??))
    };
    space.files().iter().filter_map(plan).collect()
}

/// What serves the heap.
pub fn allocators(plans: &[(String, ProbePlan)]) -> Finding {
    const CHECK: &str = "allocators";
    if plans.is_empty() {
        let advice = "nothing can be probed; -v tells of each file why it was passed over";
        return Finding::other(CHECK, Level::Failed, "none that memtrace knows", advice);
    }
    let names: Vec<String> = plans.iter().map(|(path, plan)| plan.name(path)).collect();
    Finding::ok(CHECK, names.join(", "))
}

/// Where each function would be probed, and at what price.
pub fn points(plan: &ProbePlan) -> Vec<Finding> {
    plan.probes.iter().map(point).collect()
}

fn point(planned: &PlannedProbe) -> Finding {
    let name = &*planned.function.name;
    match &planned.point {
        Ok(point) if point.price == Price::Emulated => Finding::ok(name, place(point)),
        Ok(point) => {
            let lost = format!("a hit costs ten times as much ({})", point.reason);
            Finding::other(name, Level::Degraded, place(point), lost)
        }
        Err(error) => {
            let lost = "blocks that it hands out are not recorded, or those that it takes back stay";
            Finding::other(name, Level::Degraded, format!("not probed: {error}"), lost)
        }
    }
}

fn place(point: &ProbePoint) -> String {
    format!("+{} `{}`, {}", point.offset_in_function, point.instruction, point.price)
}
