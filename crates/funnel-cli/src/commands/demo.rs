//! `funnel demo`.
use super::context::Context;
use crate::args::DemoArgs;
use crate::error::{CliError, Result};
use crate::exit::Exit;
pub(super) async fn run(_: &Context, _: DemoArgs) -> Result<Exit> {
    Err(CliError::failed("not built yet"))
}
