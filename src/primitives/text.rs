//! Text that people type and other people read: names, reasons, notes.

use std::fmt;

use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{
        DefaultIgnorableCodePoint, EmojiModifier, ExtendedPictographic, GeneralCategory,
        GeneralCategoryGroup, VariationSelector,
    },
};

/// Text of one line that shows as what it is.
///
/// Two texts that look the same are the same as far as that can be had, and nothing in a text
/// changes how what stands around it is shown. By Unicode's properties, so that nobody has to know
/// the characters:
///
/// - nothing without a picture of its own: no control characters, line ends, format characters
///   (general categories Cc, Zl, Zp, Cf), nothing that a reader may leave out
///   (`Default_Ignorable_Code_Point`: fillers such as U+3164, soft hyphens, tags, zero widths), and
///   not the Braille blank U+2800, whose picture is empty;
/// - nothing that turns the direction of writing (all of it is Cf); letters that are written from
///   right to left are letters;
/// - nothing that means nothing, or something else elsewhere: unassigned, private use, replacement
///   characters (Cn, Co, U+FFFC, U+FFFD);
/// - marks stand on something, and not more than six on one;
/// - what is invisible is taken where it makes one picture of others: the joiner U+200D between two
///   emoji, the selectors U+FE0E and U+FE0F behind what has both shapes, Mongolian selectors behind
///   Mongolian letters. Flags made of tags (England's) are not: with tags anything can be hidden.
///
/// Spaces around it are taken off; within it they stay, the ideographic one too.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(String);

/// How long a text may be: at least and at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// Characters (Unicode scalar values).
    Characters(usize, usize),
    /// Bytes of UTF-8, where somebody else counts them: a Chinese character is three.
    Bytes(usize, usize),
}

/// What is wrong with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    #[error("the text is too short or too long")]
    Length,
    #[error("the text has a character that does not show as what it is")]
    Hidden(char),
}

/// Marks that one letter may carry: Tibetan and Vietnamese need some.
const MARKS_MAX: usize = 6;

const JOINER: char = '\u{200d}';

impl Length {
    fn holds(self, text: &str) -> bool {
        match self {
            Self::Characters(least, most) => (least..=most).contains(&text.chars().count()),
            Self::Bytes(least, most) => (least..=most).contains(&text.len()),
        }
    }
}

impl Text {
    /// What is expected of one that hides something.
    pub const EXPECTED: &'static str = "text in one line that shows as what it is";

    pub fn parse(text: &str, length: Length) -> Result<Self, InvalidText> {
        let text = text.trim();
        if !length.holds(text) {
            return Err(InvalidText::Length);
        }
        match Self::hidden(text) {
            None => Ok(Self(text.to_owned())),
            Some(hidden) => Err(InvalidText::Hidden(hidden)),
        }
    }

    /// The first character that does not show as what it is, for texts that have rules of their own
    /// besides.
    pub fn hidden(text: &str) -> Option<char> {
        let mut before = None;
        let mut base = None;
        let mut marks = 0;
        let mut rest = text.chars().peekable();
        while let Some(letter) = rest.next() {
            let sound = match kind(letter) {
                Kind::Visible => {
                    base = Some(letter);
                    marks = 0;
                    true
                }
                Kind::Space => {
                    base = None;
                    marks = 0;
                    true
                }
                Kind::Mark => {
                    marks += 1;
                    base.is_some() && marks <= MARKS_MAX
                }
                // 👩🏽, then the joiner, then another.
                Kind::Joiner => {
                    before.is_some_and(|before| {
                        is_emoji(before) || is_modifier(before) || before == '\u{fe0f}'
                    }) && base.is_some_and(is_emoji)
                        && rest.peek().copied().is_some_and(is_emoji)
                }
                Kind::Shape => before.is_some_and(has_two_shapes),
                Kind::MongolianSelector => before.is_some_and(is_mongolian),
                Kind::Hidden => false,
            };
            if !sound {
                return Some(letter);
            }
            // A modifier belongs to the emoji before it.
            if is_modifier(letter) && before.is_some_and(is_emoji) {
                base = before;
            }
            before = Some(letter);
        }
        None
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Visible,
    Space,
    Mark,
    Joiner,
    /// As text, or as an emoji.
    Shape,
    MongolianSelector,
    Hidden,
}

fn kind(letter: char) -> Kind {
    match letter {
        '!'..='~' => return Kind::Visible,
        JOINER => return Kind::Joiner,
        '\u{fe0e}' | '\u{fe0f}' => return Kind::Shape,
        '\u{180b}'..='\u{180f}' => return Kind::MongolianSelector,
        // The empty Braille pattern, and what stands for something that is not there.
        '\u{2800}' | '\u{fffc}' | '\u{fffd}' => return Kind::Hidden,
        _ => {}
    }
    if CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(letter)
        || CodePointSetData::new::<VariationSelector>().contains(letter)
    {
        return Kind::Hidden;
    }
    let category = CodePointMapData::<GeneralCategory>::new().get(letter);
    if category == GeneralCategory::SpaceSeparator {
        Kind::Space
    } else if GeneralCategoryGroup::Mark.contains(category) {
        Kind::Mark
    } else if GeneralCategoryGroup::Separator.contains(category)
        || GeneralCategoryGroup::Other.contains(category)
    {
        Kind::Hidden
    } else {
        Kind::Visible
    }
}

fn is_emoji(letter: char) -> bool {
    CodePointSetData::new::<ExtendedPictographic>().contains(letter)
}

/// A colour of skin.
fn is_modifier(letter: char) -> bool {
    CodePointSetData::new::<EmojiModifier>().contains(letter)
}

/// Pictures, and the keys `0` to `9`, `#` and `*`.
fn has_two_shapes(letter: char) -> bool {
    is_emoji(letter) || letter.is_ascii_digit() || matches!(letter, '#' | '*')
}

const fn is_mongolian(letter: char) -> bool {
    matches!(letter, '\u{1820}'..='\u{18aa}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Length = Length::Characters(1, 40);

    #[test]
    fn what_people_write_is_taken() {
        for text in [
            "老王面馆",
            "茶里巷 1 号·二楼（近地铁）",
            "Café Ñandú & Söhne, No. 5 / №7",
            "全角　空格",
            "ئۇيغۇر تاماقلىرى",
            "བོད་ཡིག",
            "ᠮᠣᠩᠭᠣᠯ ᠪᠢᠴᠢᠭ᠋",
            "Phở Việt",
            "e\u{301}clair",
            "𠮷野家 㐂",
            "😀 🍜 ☕",
            "❤\u{fe0f} ❤\u{fe0e} 1\u{fe0f}\u{20e3}",
            "👨\u{200d}👩\u{200d}👧\u{200d}👦 家庭餐厅",
            "👩🏽\u{200d}🍳 私厨",
            "🏳\u{fe0f}\u{200d}🌈",
            "🇨🇳 面",
            "`a`, b; c\"d'e\\f<g>",
            "¥12.30 10% ≥ 5℃",
        ] {
            let taken = Text::parse(text, ROOM);
            assert_eq!(taken.map(Text::into_string), Ok(text.to_owned()), "{text}");
        }
    }

    /// One of each kind, inside and alone.
    #[test]
    fn what_does_not_show_is_refused() {
        for (hidden, what) in [
            ('\u{0}', "a control character"),
            ('\n', "a line's end"),
            ('\t', "a tabulator"),
            ('\u{85}', "another line's end"),
            ('\u{2028}', "a line separator"),
            ('\u{2029}', "a paragraph separator"),
            ('\u{ad}', "a soft hyphen"),
            ('\u{34f}', "a grapheme joiner"),
            ('\u{61c}', "an Arabic mark of direction"),
            ('\u{115f}', "a filler of Hangul"),
            ('\u{17b4}', "a vowel of Khmer that is not shown"),
            ('\u{180e}', "a Mongolian separator without Mongolian"),
            ('\u{200b}', "a space of no width"),
            ('\u{200c}', "a non-joiner"),
            ('\u{200d}', "a joiner"),
            ('\u{200e}', "a mark of direction"),
            ('\u{202e}', "an override of direction"),
            ('\u{2066}', "an isolate of direction"),
            ('\u{2060}', "a word joiner"),
            ('\u{2062}', "a multiplication that is not shown"),
            ('\u{206f}', "a digit shape"),
            ('\u{2800}', "an empty Braille pattern"),
            ('\u{3164}', "a filler of Hangul"),
            ('\u{ffa0}', "a narrow filler of Hangul"),
            ('\u{fe00}', "a variation selector"),
            ('\u{fe0f}', "the emoji selector behind a letter"),
            ('\u{feff}', "a byte order mark"),
            ('\u{fff9}', "an annotation"),
            ('\u{fffc}', "a replacement of an object"),
            ('\u{fffd}', "a replacement"),
            ('\u{fffe}', "no character"),
            ('\u{1d173}', "a beam of music"),
            ('\u{e0001}', "a tag"),
            ('\u{e0041}', "a tag letter"),
            ('\u{e0100}', "an ideographic selector"),
            ('\u{e000}', "private use"),
            ('\u{f0000}', "private use on another plane"),
            ('\u{378}', "unassigned"),
        ] {
            let within = format!("老王{hidden}面馆");
            assert_eq!(
                Text::parse(&within, ROOM),
                Err(InvalidText::Hidden(hidden)),
                "{what}"
            );
            assert!(Text::parse(&hidden.to_string(), ROOM).is_err(), "{what}");
        }
    }

    #[test]
    fn joiners_join_and_marks_stand_on_something() {
        for text in [
            "👨\u{200d}",
            "\u{200d}👨",
            "👨\u{200d}\u{200d}👩",
            "👨\u{200d}a",
            "a\u{200d}👩",
            "👨 \u{200d}👩",
            "\u{301}",
            "a \u{301}",
            "面\u{fe0f}",
            "😀\u{fe0f}\u{fe0f}",
            // A flag of tags.
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
            &format!("a{}", "\u{301}".repeat(MARKS_MAX + 1)),
        ] {
            assert!(
                matches!(Text::parse(text, ROOM), Err(InvalidText::Hidden(_))),
                "{text:?}"
            );
        }
        assert!(Text::parse(&format!("a{}", "\u{301}".repeat(MARKS_MAX)), ROOM).is_ok());
    }

    #[test]
    fn lengths_are_counted_as_they_are_called() {
        let characters = |text: &str| Text::parse(text, Length::Characters(1, 5));
        let bytes = |text: &str| Text::parse(text, Length::Bytes(1, 6));
        assert_eq!(characters(" 　老王面馆 　").unwrap().as_str(), "老王面馆");
        assert!(characters("五个字的店").is_ok());
        for wrong in ["", "  ", "　", "六个字的店名"] {
            assert_eq!(characters(wrong), Err(InvalidText::Length), "{wrong:?}");
        }
        assert!(bytes("缺货").is_ok());
        assert_eq!(bytes("缺货了"), Err(InvalidText::Length));
        assert!(Text::parse("", Length::Bytes(0, 6)).is_ok());
    }
}
