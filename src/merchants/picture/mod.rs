//! The picture of a collection code, to print and put on a counter: the matrix, the merchant's name
//! and the label beneath.
//!
//! One layout serves both formats, so that what is on the screen (SVG) and what is printed (PNG)
//! agree: text is measured by the cells of GNU Unifont, 8 dots for a narrow character and 16 for a
//! wide one, and drawn in PNG with its dots. Chinese names work without a font file anywhere.
//!
//! Error correction is Q: a quarter of the matrix may be scratched. H would make the dots finer for
//! a risk that a sheet behind plastic does not have.

mod layout;
mod png;
mod svg;

use fast_qr::{ECL, QRBuilder};
use layout::{Layout, Line};

/// Dots of the picture per dot of the matrix.
const DOT: usize = 12;
/// The white frame that the standard asks for, in dots of the matrix.
const QUIET: usize = 4;

/// A code's picture, not yet in a format.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Rows of the matrix, dark is true.
    rows: Vec<Vec<bool>>,
    layout: Layout,
}

#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    #[error("the code's address is too long for a matrix")]
    TooLong,
    #[error("the PNG cannot be written")]
    Png(#[from] ::png::EncodingError),
}

impl Picture {
    /// `address` is what a phone reads; `name` and `label` are for people.
    pub fn new(address: &str, name: &str, label: &str) -> Result<Self, PictureError> {
        let matrix = QRBuilder::new(address)
            .ecl(ECL::Q)
            .build()
            .map_err(|_| PictureError::TooLong)?;
        let rows: Vec<Vec<bool>> = (0..matrix.size)
            .map(|row| matrix[row].iter().map(|module| module.value()).collect())
            .collect();
        let side = (rows.len() + 2 * QUIET) * DOT;
        Ok(Self {
            rows,
            layout: Layout::new(side, name, label),
        })
    }

    pub fn svg(&self) -> String {
        svg::write(self)
    }

    pub fn png(&self) -> Result<Vec<u8>, PictureError> {
        png::write(self)
    }

    /// Whether the matrix is dark at a dot of the picture.
    fn is_dark(&self, x: usize, y: usize) -> bool {
        let place = |at: usize| (at / DOT).checked_sub(QUIET);
        let (Some(column), Some(row)) = (place(x), place(y)) else {
            return false;
        };
        self.rows
            .get(row)
            .and_then(|row| row.get(column))
            .copied()
            .unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &str = "https://pay.example.com/c/7ZK3M9Q2W8XA";

    #[test]
    fn a_png_of_a_chinese_name_has_ink_under_the_matrix() {
        let picture = Picture::new(ADDRESS, "老王面馆（人民路店）", "一号柜台").unwrap();
        let bytes = picture.png().unwrap();
        assert!(bytes.starts_with(b"\x89PNG"));
        let mut reader = ::png::Decoder::new(std::io::Cursor::new(bytes))
            .read_info()
            .unwrap();
        let mut dots = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut dots).unwrap();
        let (width, side) = (usize::try_from(info.width).unwrap(), picture.layout.side);
        assert_eq!(width, side);
        let ink: usize = dots[side * width..]
            .iter()
            .map(|dot| usize::from(*dot == 0))
            .sum();
        assert!(ink > 500, "{ink}");
        // The frame is white, the corner of the first finder pattern black.
        assert_eq!((dots[0], dots[QUIET * DOT * width + QUIET * DOT]), (255, 0));
    }

    #[test]
    fn an_svg_does_not_trust_the_name() {
        let svg = Picture::new(ADDRESS, "<script>alert('&')</script>", "\"1\"")
            .unwrap()
            .svg();
        assert!(!svg.contains("<script"));
        assert!(
            svg.contains("&lt;script&gt;alert(&#39;&amp;&#39;)"),
            "{svg}"
        );
        assert!(svg.contains("&quot;1&quot;"));
    }

    #[test]
    fn an_address_beyond_any_matrix_is_refused() {
        assert!(matches!(
            Picture::new(&"x".repeat(3000), "a", "b"),
            Err(PictureError::TooLong)
        ));
    }
}
