//! Which processes are meant, where there are many: by name, user, control group and container.

use super::Identity;

/// Bytes of a process's name in the kernel, the zero at its end left out.
const NAME_BYTES: usize = 15;

/// Values that are asked for, by kind. A process must have one of each kind that is asked for at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Names; of longer ones the first 15 bytes, as the kernel has no more.
    pub names: Vec<String>,
    /// Real user ids.
    pub users: Vec<u32>,
    /// Paths of control groups, which stand for those below them, too.
    pub groups: Vec<String>,
    /// What ids or names of containers begin with.
    pub containers: Vec<String>,
}

impl Selection {
    /// Everybody is meant.
    #[must_use]
    pub const fn is_everybody(&self) -> bool {
        self.names.is_empty() && self.users.is_empty() && !self.asks_for_groups()
    }

    /// Control groups matter.
    #[must_use]
    pub const fn asks_for_groups(&self) -> bool {
        !(self.groups.is_empty() && self.containers.is_empty())
    }

    /// Whether a process is meant.
    #[must_use]
    pub fn has(&self, identity: &Identity) -> bool {
        (self.names.is_empty() || self.has_name(identity))
            && (self.users.is_empty() || self.users.contains(&identity.user))
            && self.has_groups(identity)
    }

    /// Whether a process is meant, as far as its control groups go.
    #[must_use]
    pub fn has_groups(&self, identity: &Identity) -> bool {
        let groups = &identity.groups;
        let in_container =
            |prefix: &String| groups.container().is_some_and(|container| container.starts_with(prefix.as_str()));
        (self.groups.is_empty() || self.groups.iter().any(|group| groups.is_below(group)))
            && (self.containers.is_empty() || self.containers.iter().any(in_container))
    }

    /// The names as the kernel has them.
    pub fn kernel_names(&self) -> impl Iterator<Item = &[u8]> {
        self.names.iter().map(|name| cut(name))
    }

    fn has_name(&self, identity: &Identity) -> bool {
        self.kernel_names().any(|name| name == cut(&identity.name))
    }
}

fn cut(name: &str) -> &[u8] {
    &name.as_bytes()[..name.len().min(NAME_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::ControlGroups;

    fn identity(name: &str, user: u32, group: &str) -> Identity {
        let groups = ControlGroups::parse(format!("0::{group}\n").as_bytes());
        Identity { name: name.into(), user, groups }
    }

    /// Of one kind one value is enough; of several kinds each must be met; without any, everybody is meant.
    #[test]
    fn kinds_narrow_and_values_widen() {
        let redis = identity("redis-server", 107, "/lxc.payload.cache/redis.service");
        let nginx = identity("nginx", 33, "/system.slice/nginx.service");
        let everybody = Selection::default();
        assert!(everybody.is_everybody() && everybody.has(&redis) && everybody.has(&nginx));
        let both = Selection { names: vec!["nginx".into(), "redis-server".into()], ..Selection::default() };
        assert!(both.has(&redis) && both.has(&nginx));
        let one = Selection { users: vec![33], ..both };
        assert!(!one.has(&redis) && one.has(&nginx));
        let contained = Selection { containers: vec!["ca".into()], ..Selection::default() };
        assert!(contained.has(&redis) && !contained.has(&nginx));
        let grouped = Selection { groups: vec!["/system.slice".into()], ..Selection::default() };
        assert!(!grouped.has(&redis) && grouped.has(&nginx) && grouped.asks_for_groups());
    }

    /// Names are known by their first 15 bytes.
    #[test]
    fn long_names_are_cut() {
        let selection = Selection { names: vec!["systemd-resolved".into()], ..Selection::default() };
        assert!(selection.has(&identity("systemd-resolve", 0, "/")));
        assert!(!selection.has(&identity("systemd", 0, "/")));
    }
}
