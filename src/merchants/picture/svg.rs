//! As SVG: sharp at any size.

use std::fmt::Write as _;

use super::{DOT, Picture, QUIET};

pub(super) fn write(picture: &Picture) -> String {
    let (width, height) = (picture.layout.side, picture.layout.height);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\"><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\
         <path fill=\"#000\" d=\""
    );
    for (y, row) in picture.rows.iter().enumerate() {
        for (x, _) in row.iter().enumerate().filter(|(_, dark)| **dark) {
            let (x, y) = ((x + QUIET) * DOT, (y + QUIET) * DOT);
            let _ = write!(svg, "M{x} {y}h{DOT}v{DOT}h-{DOT}z"); // writing to a String cannot fail
        }
    }
    svg.push_str(
        "\"/><g fill=\"#000\" text-anchor=\"middle\" \
         font-family=\"'PingFang SC','Microsoft YaHei','Noto Sans CJK SC',sans-serif\">",
    );
    for line in &picture.layout.lines {
        // The baseline stands at 7/8 of the cell; `textLength` keeps a wider font inside.
        let baseline = line.top + line.size() * 7 / 8;
        let _ = write!(
            svg,
            "<text x=\"{}\" y=\"{baseline}\" font-size=\"{}\" textLength=\"{}\" \
             lengthAdjust=\"spacingAndGlyphs\">{}</text>",
            width / 2,
            line.size(),
            line.width(),
            escape(&line.text),
        );
    }
    svg.push_str("</g></svg>");
    svg
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // XML has no way to write them.
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => escaped.push(c),
        }
    }
    escaped
}
