//! Collection codes as mini-program codes (小程序码, §13.3).

use serde::Serialize;

use super::MiniProgram;
use crate::{
    merchants::{CodeDrawing, DrawingFailure, PictureKind, ProgramVersion},
    payments::{ChannelOutcome, RefusalKind},
};

/// Pixels a side, of at most 1280: enough for a counter's card.
const WIDTH: u32 = 860;

#[derive(Serialize)]
struct Request<'a> {
    /// What the page reads back. The collection code has 12 of the 32 characters, all of them
    /// allowed.
    scene: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<&'a str>,
    /// A page of the released version must exist; one that is being developed cannot be checked.
    check_path: bool,
    env_version: &'static str,
    width: u32,
    /// Transparent, which makes WeChat draw a PNG. Otherwise it is a JPEG.
    is_hyaline: bool,
}

impl MiniProgram {
    pub(super) async fn draw_code(&self, drawing: &CodeDrawing) -> Result<Vec<u8>, DrawingFailure> {
        let request = Request {
            scene: drawing.code.as_str(),
            page: drawing.page.as_deref(),
            check_path: drawing.program == ProgramVersion::Formal,
            env_version: match drawing.program {
                ProgramVersion::Developer => "develop",
                ProgramVersion::Trial => "trial",
                ProgramVersion::Formal => "release",
            },
            width: WIDTH,
            is_hyaline: true,
        };
        let path = ["wxa", "getwxacodeunlimit"];
        match self.post("code_picture", &path, &request).await {
            ChannelOutcome::Done(picture) if PictureKind::of(&picture).is_some() => Ok(picture),
            ChannelOutcome::Done(_) => Err(DrawingFailure::Unavailable(
                "the answer is not a picture".to_owned(),
            )),
            ChannelOutcome::Refused(no) if no.kind == RefusalKind::RateLimited => {
                Err(DrawingFailure::Unavailable(no.code))
            }
            ChannelOutcome::Refused(no) => Err(DrawingFailure::Refused { code: no.code }),
            ChannelOutcome::Unknown(reason) => Err(DrawingFailure::Unavailable(reason)),
        }
    }
}
