//! The architectures: how each is called, compiled for and emulated.

use std::process::Command;

use anyhow::Result;

use crate::apt;

/// An architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Machine {
    /// 64-bit x86.
    X86_64,
    /// 64-bit Arm.
    Aarch64,
}

impl Machine {
    /// Rust's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// Debian's name.
    pub const fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// Rust's target.
    pub fn target(self) -> String {
        format!("{}-unknown-linux-gnu", self.name())
    }

    /// Whether xtask itself runs on it.
    pub fn is_host(self) -> bool {
        self.name() == std::env::consts::ARCH
    }

    /// The C compiler.
    pub fn compiler(self) -> String {
        if self.is_host() { "gcc".to_owned() } else { format!("{}-linux-gnu-gcc", self.name()) }
    }

    /// The variable that names the linker to cargo.
    pub fn linker_variable(self) -> String {
        format!("CARGO_TARGET_{}_LINKER", self.target().to_uppercase().replace('-', "_"))
    }

    /// Installs the emulator, and the compiler where it is not the machine's own.
    ///
    /// # Errors
    /// When they cannot be had.
    pub fn install_tools(self) -> Result<()> {
        let emulator_package = match self {
            Self::X86_64 => "qemu-system-x86",
            Self::Aarch64 => "qemu-system-arm",
        };
        let (emulator, compiler) = (self.emulator(), self.compiler());
        let debian = self.debian();
        let mut wanted = vec![(emulator.as_str(), vec![emulator_package.to_owned()])];
        if !self.is_host() {
            let name = self.name().replace('_', "-");
            wanted.push((&compiler, vec![format!("gcc-{name}-linux-gnu"), format!("libc6-dev-{debian}-cross")]));
        }
        wanted.retain(|(program, _)| !apt::has_program(program));
        let programs: Vec<_> = wanted.iter().map(|(program, _)| *program).collect();
        let packages: Vec<_> = wanted.iter().flat_map(|(_, packages)| packages).map(String::as_str).collect();
        apt::install(&programs, &packages)
    }

    fn emulator(self) -> String {
        format!("qemu-system-{}", self.name())
    }

    /// The emulator's call, up to the kernel; and the kernel's console.
    ///
    /// Software emulation unless asked otherwise: a /dev/kvm that opens is no promise. Under nested virtualisation it
    /// may run no stock kernel.
    ///
    /// With `wide_exchange`, an `x86_64` processor has `cmpxchg16b`, which qemu before 8 now and then gives wrong flags.
    pub fn emulate(self, kvm: bool, wide_exchange: bool) -> (Command, &'static str) {
        let mut command = Command::new(self.emulator());
        let (machine, cpu, console) = match self {
            Self::X86_64 if kvm => ("q35", "host", "ttyS0"),
            Self::X86_64 => ("q35", if wide_exchange { "max" } else { "max,-cx16" }, "ttyS0"),
            // Authentication of pointers by a fast hash: the architected one takes most of the time.
            Self::Aarch64 => ("virt", if kvm { "host" } else { "max,pauth-impdef=on" }, "ttyAMA0"),
        };
        command.args(["-accel", if kvm { "kvm" } else { "tcg" }, "-machine", machine, "-cpu", cpu]);
        (command, console)
    }
}
