//! As PNG, for printers and chat windows.

use ::png::{BitDepth, ColorType, Compression, Encoder};
use unifont::Glyph;

use super::{Line, Picture, PictureError};

const WHITE: u8 = 255;
const BLACK: u8 = 0;

pub(super) fn write(picture: &Picture) -> Result<Vec<u8>, PictureError> {
    let (width, height) = (picture.layout.side, picture.layout.height);
    let mut dots = vec![WHITE; width * height];
    for (y, row) in dots.chunks_exact_mut(width).enumerate() {
        for (x, dot) in row.iter_mut().enumerate() {
            if picture.is_dark(x, y) {
                *dot = BLACK;
            }
        }
    }
    for line in &picture.layout.lines {
        draw(line, &mut dots, width);
    }
    let side = |dots: usize| u32::try_from(dots).unwrap_or(u32::MAX);
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, side(width), side(height));
    encoder.set_color(ColorType::Grayscale);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Fast);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&dots)?;
    writer.finish()?;
    Ok(bytes)
}

fn draw(line: &Line, dots: &mut [u8], width: usize) {
    let mut left = line.left;
    for c in line.text.chars() {
        let glyph = glyph(c);
        let glyph_width = glyph.get_width() * line.scale;
        for y in 0..line.size() {
            for x in 0..glyph_width {
                if glyph.get_pixel(x / line.scale, y / line.scale)
                    && left + x < width
                    && let Some(dot) = dots.get_mut((line.top + y) * width + left + x)
                {
                    *dot = BLACK;
                }
            }
        }
        left += glyph_width;
    }
}

/// A character's dots; one that the font does not have shows as a box.
pub(super) fn glyph(c: char) -> &'static Glyph {
    static BOX: Glyph = Glyph::Halfwidth([
        0, 0, 0x7e, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x7e, 0, 0,
    ]);
    unifont::get_glyph(c).unwrap_or(&BOX)
}
