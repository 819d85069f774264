//! `POST /wxa/getwxacodeunlimit`: the code that opens a page of the mini-program with a scene.
//!
//! WeChat draws its round code; here it is a QR code of `page?scene=…`, which any scanner reads.
//! On errors the answer is JSON instead of a picture, with HTTP 200 all the same.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use fast_qr::{ECL, QRBuilder};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use png::{BitDepth, ColorType, Encoder};
use serde::Deserialize;
use serde_json::Value;

use super::super::lock::lock;
use super::super::state::Shared;
use super::admission::TokenQuery;
use super::errcode::Errcode;

const PER_MINUTE_MAX: u32 = 5_000;
const SCENE_MAX: usize = 32;
/// The frame around the matrix, in its own dots, as the standard asks.
const QUIET: usize = 4;

#[derive(Deserialize)]
struct CodeRequest {
    #[serde(default)]
    scene: String,
    page: Option<String>,
    #[serde(default = "yes")]
    check_path: bool,
    env_version: Option<String>,
    width: Option<i64>,
    // Looks, which this picture does not have; checked for their kind.
    #[serde(rename = "auto_color")]
    _auto_color: Option<bool>,
    #[serde(rename = "line_color")]
    _line_color: Option<Value>,
    #[serde(rename = "is_hyaline")]
    _is_hyaline: Option<bool>,
}

fn yes() -> bool {
    true
}

pub(super) async fn unlimited(
    State(shared): State<Arc<Shared>>,
    query: Query<TokenQuery>,
    body: Bytes,
) -> Response {
    match picture(&shared, &query, &body) {
        Ok(png) => {
            shared.stats.mini_program_codes.add();
            ([(CONTENT_TYPE, "image/png")], png).into_response()
        }
        Err(errcode) => shared.refusal(errcode),
    }
}

fn picture(shared: &Shared, query: &Query<TokenQuery>, body: &[u8]) -> Result<Vec<u8>, Errcode> {
    let request: CodeRequest = shared.admit_mini_program(query, body)?;
    shared.within_minute("getwxacodeunlimit", PER_MINUTE_MAX)?;
    check_scene(&request.scene)?;
    // Without a page it is the first one, which every mini-program has.
    let page = request.page.as_deref().unwrap_or_default();
    check_page(page)?;
    let released = lock(&shared.mini_program.pages);
    let known = released.as_ref().is_none_or(|pages| pages.contains(page));
    if request.check_path && !page.is_empty() && !known {
        return Err(Errcode::new(41030, "invalid page"));
    }
    let versions = [None, Some("release"), Some("trial"), Some("develop")];
    if !versions.contains(&request.env_version.as_deref()) {
        return Err(Errcode::new(40097, "invalid args: env_version"));
    }
    let width = request.width.unwrap_or(430);
    if !(280..=1280).contains(&width) {
        return Err(Errcode::new(40097, "invalid args: width"));
    }
    draw(page, &request.scene, width)
}

/// 1 to 32 characters of a short alphabet; `%` is not in it, so nothing can be escaped.
fn check_scene(scene: &str) -> Result<(), Errcode> {
    let charset = |b: u8| b.is_ascii_alphanumeric() || b"!#$&'()*+,/:;=?@-._~".contains(&b);
    if (1..=SCENE_MAX).contains(&scene.len()) && scene.bytes().all(charset) {
        Ok(())
    } else {
        let message = "invalid length for scene, or the data is not json string";
        Err(Errcode::new(40169, message))
    }
}

/// `pages/index/index`: no slash in front and no query behind.
pub(super) fn check_page(page: &str) -> Result<(), Errcode> {
    if page.starts_with('/') || page.contains('?') {
        Err(Errcode::new(41030, "invalid page"))
    } else {
        Ok(())
    }
}

fn draw(page: &str, scene: &str, width: i64) -> Result<Vec<u8>, Errcode> {
    let broken = |()| Errcode::new(-1, "system error");
    let matrix = QRBuilder::new(format!("{page}?scene={scene}"))
        .ecl(ECL::Q)
        .build()
        .map_err(|_| broken(()))?;
    let width = usize::try_from(width).map_err(|_| broken(()))?;
    let dot = (width / (matrix.size + 2 * QUIET)).max(1);
    let dark = |x: usize, y: usize| {
        let place = |at: usize| (at / dot).checked_sub(QUIET).filter(|at| *at < matrix.size);
        match (place(x), place(y)) {
            (Some(column), Some(row)) => matrix[row][column].value(),
            (Some(_) | None, Some(_) | None) => false,
        }
    };
    let mut dots = Vec::with_capacity(width * width);
    for y in 0..width {
        dots.extend((0..width).map(|x| if dark(x, y) { 0_u8 } else { 255 }));
    }
    let side = u32::try_from(width).map_err(|_| broken(()))?;
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, side, side);
    encoder.set_color(ColorType::Grayscale);
    encoder.set_depth(BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(|_| broken(()))?;
    writer.write_image_data(&dots).map_err(|_| broken(()))?;
    writer.finish().map_err(|_| broken(()))?;
    Ok(bytes)
}

/// `PUT /sim/pages`: the pages of the released version, or `null` for all there could be.
pub(super) async fn put_pages(
    State(shared): State<Arc<Shared>>,
    Json(pages): Json<Option<Vec<String>>>,
) -> StatusCode {
    shared.set_pages(pages);
    StatusCode::NO_CONTENT
}

impl Shared {
    pub(in super::super) fn set_pages(&self, pages: Option<Vec<String>>) {
        *lock(&self.mini_program.pages) = pages.map(|pages| pages.into_iter().collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenes_are_short_and_unescaped() {
        for good in ["a", "c=0190&s=2", "!#$&'()*+,/:;=?@-._~", &"x".repeat(32)] {
            assert_eq!(check_scene(good), Ok(()), "{good}");
        }
        for bad in ["", "a%20b", "a b", "码", &"x".repeat(33)] {
            assert_eq!(check_scene(bad).unwrap_err().0, 40169, "{bad}");
        }
    }

    #[test]
    fn the_picture_is_a_png_of_the_width_asked_for() {
        let bytes = draw("pages/pay/index", "c=0190", 280).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes))
            .read_info()
            .unwrap();
        assert_eq!((reader.info().width, reader.info().height), (280, 280));
        let mut dots = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut dots).unwrap();
        assert!(dots.contains(&0) && dots[0] == 255);
    }
}
