//! The look of the phone: plain CSS, nothing fetched from elsewhere.

const STYLE: &str = "
*{box-sizing:border-box}
body{margin:0;background:#dfe3e8;font:16px/1.5 -apple-system,'PingFang SC','Microsoft YaHei','Noto Sans CJK SC',sans-serif;color:#1a1a1a}
main{max-width:420px;min-height:100vh;margin:0 auto;background:#f5f5f5;padding:0 16px 40px}
header{margin:0 -16px 16px;padding:14px 16px;background:#ededed;text-align:center;font-weight:600;border-bottom:1px solid #ddd}
.card,.sheet{background:#fff;border-radius:10px;padding:16px;margin:0 0 14px}
.sheet{text-align:center;margin-top:40px;padding:28px 16px}
h2{font-size:14px;font-weight:500;color:#777;margin:0 0 10px}
.name{margin:0;font-size:17px}
.amount{margin:6px 0 18px;font-size:40px;font-weight:600}
.hint{color:#888;font-size:13px;margin:6px 0;overflow-wrap:anywhere}
.ok{color:#07c160;font-size:22px;font-weight:600;margin:0 0 4px}
.error{color:#c0392b;margin:0;overflow-wrap:anywhere}
.points{font-size:17px;margin:8px 0}
label{display:block;margin:8px 0 4px;color:#555;font-size:14px}
input[type=text]{width:100%;font:inherit;font-size:18px;padding:10px;border:1px solid #ccc;border-radius:8px;background:#fff}
input.yuan{font-size:32px}
button,.button{display:block;width:100%;margin:10px 0 0;padding:12px;font:inherit;font-weight:600;text-align:center;text-decoration:none;border:0;border-radius:8px;background:#e8e8e8;color:#1a1a1a;cursor:pointer}
button.pay{background:#07c160;color:#fff}
button:focus-visible,.button:focus-visible,input:focus-visible{outline:3px solid #2a7de1;outline-offset:1px}
.choice{display:flex;flex-wrap:wrap;gap:8px}
.choice label{margin:0;color:#1a1a1a}
.choice input{margin-right:4px}
table{width:100%;border-collapse:collapse;font-size:14px}
td{padding:8px 0;border-top:1px solid #eee;vertical-align:top}
td.number{text-align:right;font-variant-numeric:tabular-nums}
";

/// A whole page. `title` is text, `body` is HTML.
pub(super) fn page(title: &str, body: &str) -> String {
    page_with_head(title, "", body)
}

/// A page that loads itself again, for phones without scripts.
pub(super) fn page_again(title: &str, next: &str, body: &str) -> String {
    let head = format!(
        "<meta http-equiv=refresh content=\"1; url={}\">",
        escape(next)
    );
    page_with_head(title, &head, body)
}

fn page_with_head(title: &str, head: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html><html lang=zh-CN><head><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width,initial-scale=1\">{head}\
         <title>{title}</title><style>{STYLE}</style></head>\
         <body><main><header>{title}</header>{body}</main></body></html>"
    )
}

/// Text that is safe inside elements and quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// Fen as yuan, with two places.
pub(super) fn yuan(fen: i64) -> String {
    let sign = if fen < 0 { "-" } else { "" };
    let fen = fen.unsigned_abs();
    format!("{sign}{}.{:02}", fen / 100, fen % 100)
}

/// Yuan as fen, exactly: digits, and at most two behind one point. More than zero.
pub(super) fn fen(text: &str) -> Option<i64> {
    let text = text.trim();
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 10 || part.len() > 2 || !digits(whole) || !digits(part) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let part: i64 = format!("{part:0<2}").parse().ok()?;
    whole
        .checked_mul(100)?
        .checked_add(part)
        .filter(|fen| *fen > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yuan_is_read_exactly_or_not_at_all() {
        assert_eq!(fen("12.8"), Some(1280));
        assert_eq!(fen(" 0.01 "), Some(1));
        assert_eq!(fen("19.99"), Some(1999));
        assert_eq!(fen("7."), Some(700));
        for bad in [
            "",
            ".",
            ".5",
            "0",
            "0.00",
            "1.234",
            "-1",
            "+1",
            "1e3",
            "1,5",
            "١",
            "12345678901",
        ] {
            assert_eq!(fen(bad), None, "{bad}");
        }
        assert_eq!(yuan(1280), "12.80");
        assert_eq!(yuan(-5), "-0.05");
    }

    #[test]
    fn markup_is_shown_and_not_obeyed() {
        assert_eq!(escape("<a href='x\">&"), "&lt;a href=&#39;x&quot;&gt;&amp;");
    }
}
