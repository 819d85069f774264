//! A collection code as a mini-program code (小程序码): scanned in WeChat, it opens the
//! mini-program at the counter.
//!
//! WeChat draws it, once: the picture never expires and is kept in the database, with what it was
//! drawn for. Another page or version of the mini-program is another picture, which replaces the
//! kept one. Two that ask at once may both have it drawn; both pictures are right.

use std::fmt::Debug;

use futures_util::future::BoxFuture;

use super::{CollectionCode, MerchantError, mini_program_store, store};
use crate::{
    db::{Db, DbError, Tx, Work},
    primitives::{MerchantId, TenantId, coded},
};

coded! {
    /// Which edition of the mini-program people get to see.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub enum ProgramVersion {
        /// 开发版, for its makers.
        Developer => "developer",
        /// 体验版, for those who try it out.
        Trial => "trial",
        /// 正式版, for everybody.
        #[default]
        Formal => "formal",
    }
}

/// What is to be drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeDrawing {
    pub code: CollectionCode,
    /// The page that it opens, such as `pages/pay/index`; none: the main page.
    pub page: Option<String>,
    pub program: ProgramVersion,
}

/// Why there is no picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DrawingFailure {
    /// WeChat will not: the page does not exist, or the mini-program is not released. The code is
    /// WeChat's.
    #[error("WeChat refused to draw the code: {code}")]
    Refused { code: String },
    /// Busy, unreachable or not understood; the text is for logs.
    #[error("WeChat does not draw the code: {0}")]
    Unavailable(String),
}

/// Draws mini-program codes.
pub trait MiniProgramCodes: Debug + Send + Sync + 'static {
    /// The picture's bytes, of a [`PictureKind`].
    fn draw(&self, drawing: CodeDrawing) -> BoxFuture<'_, Result<Vec<u8>, DrawingFailure>>;
}

/// What kind of picture some bytes are. WeChat's content types are not to be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureKind {
    Png,
    Jpeg,
}

impl PictureKind {
    /// By the bytes that such a file begins with.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            Some(Self::Png)
        } else if bytes.starts_with(b"\xff\xd8\xff") {
            Some(Self::Jpeg)
        } else {
            None
        }
    }

    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
        }
    }
}

/// The picture of a merchant's own code, drawn if it has not been yet.
pub async fn mini_program_code(
    db: &Db,
    codes: &dyn MiniProgramCodes,
    tenant: TenantId,
    merchant: MerchantId,
    drawing: CodeDrawing,
) -> Result<(PictureKind, Vec<u8>), MerchantError> {
    let kind = |picture: &[u8]| {
        PictureKind::of(picture).ok_or(DbError::Inconsistent("a kept code that is no picture"))
    };
    store::find_code(db, tenant, merchant, drawing.code)
        .await?
        .ok_or(MerchantError::CodeNotFound)?;
    if let Some(picture) = mini_program_store::find(db, tenant, &drawing).await? {
        return Ok((kind(&picture)?, picture));
    }
    let picture = codes.draw(drawing.clone()).await?;
    let kind = kind(&picture)?;
    let work = KeepCode {
        tenant,
        drawing,
        picture,
    };
    Ok((kind, db.run(work).await?))
}

/// Keeps a picture and gives it back.
struct KeepCode {
    tenant: TenantId,
    drawing: CodeDrawing,
    picture: Vec<u8>,
}

impl Work for KeepCode {
    const NAME: &'static str = "merchants.keep_mini_program_code";
    type Reply = Vec<u8>;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<Vec<u8>, DbError> {
        mini_program_store::keep(tx, self.tenant, &self.drawing, &self.picture).await?;
        Ok(self.picture.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_known_by_how_it_begins() {
        let png = [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', 0];
        assert_eq!(PictureKind::of(&png), Some(PictureKind::Png));
        assert_eq!(PictureKind::of(&png[..7]), None);
        assert_eq!(
            PictureKind::of(&[0xff, 0xd8, 0xff, 0xe0]),
            Some(PictureKind::Jpeg)
        );
        assert_eq!(PictureKind::of(br#"{"errcode":0}"#), None);
        assert_eq!(PictureKind::of(b""), None);
    }

    #[test]
    fn versions_are_read_back() {
        for version in ProgramVersion::ALL {
            assert_eq!(ProgramVersion::from_name(version.name()), Some(version));
        }
        assert_eq!(ProgramVersion::from_name("release"), None);
    }
}
