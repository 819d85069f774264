//! `GET /c/{code}`: what a phone shows that scans a code without WeChat.

use axum::{
    extract::State,
    http::{HeaderName, StatusCode, header},
    response::Html,
};

use crate::{
    app::App,
    http::{extract::Path, problem::Problem},
    merchants::{self, MerchantError},
};

type Page = (StatusCode, [(HeaderName, &'static str); 1], Html<String>);

/// For people; not part of the API's document. In WeChat the same address opens the mini-program
/// (普通链接二维码).
pub(in crate::http) async fn code_page(
    State(app): State<App>,
    Path(code): Path<String>,
) -> Result<Page, Problem> {
    let Ok(code) = code.parse() else {
        return Ok(closed());
    };
    match merchants::resolve_code(app.db(), app.cache(), code).await {
        Ok(counter) => {
            let merchant = format!("{} · {}", counter.merchant_name, counter.label);
            Ok(page(StatusCode::OK, &merchant, "请用微信扫码付款"))
        }
        Err(MerchantError::CodeNotFound | MerchantError::CodeDisabled) => Ok(closed()),
        Err(error) => Err(error.into()),
    }
}

fn closed() -> Page {
    page(
        StatusCode::NOT_FOUND,
        "收款码不可用",
        "请向店员索取新的收款码",
    )
}

fn page(status: StatusCode, title: &str, text: &str) -> Page {
    const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    let title = escape(title);
    let html = format!(
        "<!doctype html><html lang=\"zh-CN\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{title}</title>\
         <style>body{{font:1.1rem/1.6 system-ui,sans-serif;text-align:center;padding:20vh 1.5rem;color:#222}}\
         h1{{font-size:1.5rem;overflow-wrap:anywhere}}</style>\
         <h1>{title}</h1><p>{text}</p></html>"
    );
    (
        status,
        [(header::CONTENT_SECURITY_POLICY, POLICY)],
        Html(html),
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_does_not_trust_the_name() {
        let (_, _, Html(html)) = page(
            StatusCode::OK,
            "<img src=x onerror=alert(1)>",
            "请用微信扫码付款",
        );
        assert!(!html.contains("<img"));
        assert!(html.contains("&lt;img"));
    }
}
