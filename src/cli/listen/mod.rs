//! `postrider listen`: a local receiver that prints what arrives and answers as a script tells it.
//!
//! `receiver` does with connections what it is told, `script` reads what is to be told, `choose` decides
//! which answer a request gets, `reply` puts an answer on the wire, `show` prints. `simulate` uses the
//! same scripts without a network.

mod certificate;
mod choose;
mod command;
mod gzip;
mod json_text;
pub mod receiver;
mod reply;
mod script;
mod show;

pub use choose::{Asked, Choice, Chooser};
pub use reply::{Reply, connection_steps, steps};
pub use script::{Answer, ConnectionFault, ConnectionRule, Fault, RetryAfter, Script, ScriptError};

pub(super) use command::{ListenArguments, read_script, run};
