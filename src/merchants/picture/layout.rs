//! Where the text stands, in dots.

/// Height of a character at scale 1.
const CELL: usize = 16;
/// Least white to the left and right of a line.
const MARGIN: usize = 24;
/// White above, between and below lines.
const GAP: usize = 10;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// Width of the picture and height of its matrix.
    pub(super) side: usize,
    pub(super) height: usize,
    pub(super) lines: Vec<Line>,
}

/// A line of text, centred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) top: usize,
    pub(super) left: usize,
    /// Dots of the picture per dot of a character.
    pub(super) scale: usize,
}

impl Line {
    pub(super) const fn size(&self) -> usize {
        CELL * self.scale
    }

    pub(super) fn width(&self) -> usize {
        width(&self.text) * self.scale
    }
}

impl Layout {
    pub(super) fn new(side: usize, name: &str, label: &str) -> Self {
        let room = side.saturating_sub(2 * MARGIN);
        let mut lines = Vec::new();
        let mut top = side;
        for (text, largest) in [(name, 3), (label, 2)] {
            let (scale, texts) = fit(text, room, largest);
            for text in texts {
                let left = side.saturating_sub(width(&text) * scale) / 2;
                lines.push(Line {
                    text,
                    top,
                    left,
                    scale,
                });
                top += CELL * scale + GAP;
            }
        }
        Self {
            side,
            height: top + MARGIN,
            lines,
        }
    }
}

/// The largest scale at which the text stands in two lines, or at the smallest in three, cut with
/// `…` if that is not enough.
fn fit(text: &str, room: usize, largest: usize) -> (usize, Vec<String>) {
    for scale in (1..=largest).rev() {
        let lines = wrap(text, room / scale);
        if lines.len() <= if scale == 1 { 3 } else { 2 } {
            return (scale, lines);
        }
    }
    let mut lines = wrap(text, room.saturating_sub(CELL));
    lines.truncate(3);
    if let Some(last) = lines.last_mut() {
        last.push('…');
    }
    (1, lines)
}

/// Lines of at most `room` dots, broken at a space where there is one.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for c in text.chars() {
        if !line.is_empty() && width(&line) + char_width(c) > room {
            let rest = match line.rfind(' ') {
                Some(space) if c != ' ' => line.split_off(space),
                Some(_) | None => String::new(),
            };
            lines.push(line.trim().to_owned());
            rest.trim_start().clone_into(&mut line);
        }
        line.push(c);
    }
    lines.push(line.trim().to_owned());
    lines.retain(|line| !line.is_empty());
    lines
}

fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

fn char_width(c: char) -> usize {
    super::png::glyph(c).get_width()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stays_inside(layout: &Layout) -> bool {
        layout.lines.iter().all(|line| {
            line.left + line.width() <= layout.side && line.top + line.size() <= layout.height
        })
    }

    #[test]
    fn a_short_name_is_large_and_a_long_one_smaller_and_wrapped() {
        let short = Layout::new(492, "老王面馆", "一号柜台");
        assert_eq!(
            short
                .lines
                .iter()
                .map(|line| line.scale)
                .collect::<Vec<_>>(),
            [3, 2]
        );
        let long = Layout::new(492, &"很长的店名".repeat(12), "一");
        assert!(long.lines.len() > 2 && long.lines[0].scale == 1);
        assert!(stays_inside(&short) && stays_inside(&long));
    }

    #[test]
    fn a_name_beyond_all_measure_is_cut() {
        let layout = Layout::new(348, &"长".repeat(500), "一");
        assert!(layout.lines.iter().any(|line| line.text.ends_with('…')));
        assert!(stays_inside(&layout));
    }

    #[test]
    fn words_are_not_broken_when_there_is_a_space() {
        assert_eq!(
            wrap("The Old Noodle House", 12 * 8),
            ["The Old", "Noodle House"]
        );
        assert_eq!(wrap("", 100), Vec::<String>::new());
    }
}
