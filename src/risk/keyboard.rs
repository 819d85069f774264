//! Signs of a Chinese keyboard in rule files and expressions.

/// Signs of a Chinese keyboard that look like those of the language, and what is meant.
const SIGNS: [(char, &str); 17] = [
    ('：', ":"),
    ('，', ","),
    ('；', ";"),
    ('“', "\""),
    ('”', "\""),
    ('‘', "'"),
    ('’', "'"),
    ('【', "["),
    ('】', "]"),
    ('（', "("),
    ('）', ")"),
    ('＜', "<"),
    ('＞', ">"),
    ('＝', "="),
    ('！', "!"),
    ('＆', "&"),
    ('％', "%"),
];

/// The first sign of a Chinese keyboard outside comments and texts in quotes, and what to write
/// instead.
pub(super) fn hint(line: &str) -> Option<String> {
    let mut quote = None;
    for sign in line.chars() {
        match (quote, sign) {
            (None, '#') => return None,
            (None, '\'' | '"') => quote = Some(sign),
            (Some(open), _) if open == sign => quote = None,
            (Some(_), _) => {}
            (None, _) => {
                if let Some((_, meant)) = SIGNS.iter().find(|(known, _)| *known == sign) {
                    return Some(format!(
                        "`{sign}` of the Chinese keyboard should be `{meant}`"
                    ));
                }
            }
        }
    }
    None
}
