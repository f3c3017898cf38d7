//! Passes on what the BPF programs log (feature `bpf-log`): for debugging the programs, as it slows every call down.
//! Shown with `-vv`.

use aya::Ebpf;
use aya_log::EbpfLogger;

use super::error::TracerError;
use crate::readable::Readable;

/// Passes log records on for as long as the runtime lives. After the programs are loaded: it takes the records' map.
///
/// # Errors
/// When the object has no such map, or it cannot be waited for.
pub fn start(ebpf: &mut Ebpf) -> Result<(), TracerError> {
    let setup = TracerError::setup("log");
    let mut logger = EbpfLogger::init(ebpf).map_err(|error| setup(Box::new(error)))?;
    let ready = Readable::of(&logger).map_err(|error| setup(Box::new(error)))?;
    tokio::spawn(async move {
        while ready.wait().await.is_ok() {
            logger.flush();
        }
    });
    Ok(())
}
