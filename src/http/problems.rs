//! What each problem means and what to do about it: `GET /problems/{code}`, where the `type` of a
//! problem leads.
//!
//! For people, in English and Chinese; not part of the API's document, which has the codes.
//! Everything here is the program's own text. A test reads the sources of this edge, so a code
//! without its line here does not pass. A code that is used no more keeps its page: somebody may
//! have it in a log.

use std::fmt::Write as _;

use axum::{http::header, response::IntoResponse};

use super::{extract::Path, problem::Problem};

/// Code, what it means for developers, and the same for Chinese ones.
#[rustfmt::skip]
const TABLE: &[(&str, &str, &str)] = &[
    ("amount_not_allowed", "The code or the merchant fixes the amount, and another one was sent. Leave amount_fen out.", "该收款码金额固定，请求中的金额与之不符。请勿传 amount_fen。"),
    ("amount_out_of_range", "The amount is outside of what one payment may be; field.expected says the range.", "金额超出单笔允许的范围，见 field.expected。"),
    ("amount_required", "The code leaves the amount open, so amount_fen is required.", "该收款码未固定金额，必须传 amount_fen。"),
    ("body_too_large", "The body is larger than the service takes. It was not read, and nothing was done.", "请求体超过上限，未被读取，未作任何处理。"),
    ("books_inconsistent", "A row that the request needs has a code, a name or an amount that there is not, or rows contradict each other: no program writes that. Nothing was done, and repeating does not help. The service's log says which row, under trace_id; zhangfang verify-ledger names all that are wrong.", "请求涉及的数据中有不存在的状态、名称或金额，或数据之间互相矛盾，并非程序所写。未作任何处理，重试无效。服务日志中按 trace_id 可查到具体记录；zhangfang verify-ledger 会列出全部异常。"),
    ("callback_not_found", "There is no callback with this id.", "没有该编号的回调记录。"),
    ("callback_unverified", "The stored callback does not verify with the keys of today: nothing was done.", "以当前密钥无法验证该回调，未作处理。"),
    ("challenge_expired", "The challenge's time is over. Repeat the request that led to it to get another.", "验证已超时。请重新发起原请求以获取新的验证。"),
    ("challenge_failed", "Too many wrong answers. Repeat the request that led to it to get another.", "验证失败次数过多。请重新发起原请求以获取新的验证。"),
    ("challenge_not_answered", "The login code is another person's: the customer must answer with the own phone.", "登录凭证不属于该顾客，须由顾客本人用自己的微信完成验证。"),
    ("challenge_not_found", "There is no such challenge for this customer.", "该顾客没有此验证请求。"),
    ("channel_refused", "WeChat Pay refused it for good. Repeating does not help; the service's log has WeChat's words.", "微信支付明确拒绝。重试无效；微信返回的原因见服务日志。"),
    ("channel_unknown", "WeChat Pay did not answer, so the outcome is unknown. Repeat the same request: under the same number nothing happens twice.", "微信支付未应答，结果未知。请原样重试：同一单号不会重复处理。"),
    ("collection_code_disabled", "The collection code is disabled, or its merchant takes no payments.", "收款码已停用，或商户暂停收款。"),
    ("collection_code_not_found", "There is no such collection code. Codes are scanned, not typed.", "收款码不存在。"),
    ("contended", "Too many writers met. Nothing was done: repeat it after Retry-After.", "写入竞争过多，未作任何处理。请按 Retry-After 重试。"),
    ("content_encoding_unsupported", "Bodies are taken as they are, not compressed: send none but Content-Encoding: identity. Nothing was done.", "请求体不支持压缩，请勿使用 Content-Encoding（identity 除外）。未作任何处理。"),
    ("content_type_unsupported", "Bodies are JSON: send Content-Type: application/json.", "请求体必须为 JSON，请设置 Content-Type: application/json。"),
    ("cursor_invalid", "The cursor is not one that this list gave out. Use next_cursor as it is, or begin without.", "游标不属于该列表。请原样使用 next_cursor，或不传以从头开始。"),
    ("customer_blocked", "The customer is blocked by the tenant.", "该顾客已被平台停用。"),
    ("customer_not_found", "This tenant has no such customer.", "本平台没有该顾客。"),
    ("delivery_delivered", "It has been delivered: there is nothing to retry.", "已投递成功，无需重试。"),
    ("delivery_not_found", "There is no such delivery.", "投递记录不存在。"),
    ("exception_already_resolved", "Somebody has resolved it already.", "该异常已有人处理。"),
    ("exception_not_found", "There is no such exception.", "异常记录不存在。"),
    ("field_invalid", "A field of the body or a parameter of the query is not what it should be: field.name says which, field.expected what it should be.", "请求体的某个字段或某个查询参数不符合要求：field.name 为字段名，field.expected 为要求。"),
    ("forbidden", "The token is good, but its role may not do this.", "令牌有效，但其角色无权执行此操作。"),
    ("headers_too_large", "The head of the request is too large to be read.", "请求头过大，无法读取。"),
    ("http_version_unsupported", "The service speaks HTTP/1.1; HTTP/2 ends at the proxy.", "服务仅支持 HTTP/1.1；HTTP/2 请在代理处终止。"),
    ("idempotency_key_invalid", "An Idempotency-Key has 1 to 255 visible ASCII characters, and a request has one.", "Idempotency-Key 须为 1 至 255 个可见 ASCII 字符，且每个请求只能有一个。"),
    ("idempotency_key_missing", "This request makes something and needs the header Idempotency-Key: a name of your own, the same when you repeat it.", "该请求会产生结果，必须带 Idempotency-Key 请求头；重试时使用同一个值。"),
    ("idempotency_key_reused", "The key was used for a request that said something else (another path or another JSON value). order_no, refund_no or review_id say what it was used for. Use a new key for a new intention.", "该请求标识已用于内容不同的请求（路径或 JSON 内容不同）。该标识所属的订单、退款或审核见 order_no、refund_no、review_id。新的意图请使用新的标识。"),
    ("internal_error", "Something of the service's own is broken. Quote trace_id when asking for help.", "服务内部错误。求助时请提供 trace_id。"),
    ("json_invalid", "The body is not JSON; field.expected says where it stops being it.", "请求体不是合法 JSON，位置见 field.expected。"),
    ("json_unexpected", "The body is JSON, but not what is expected: an unknown or missing field, another type, an array in place of an object, a null, or a name twice. What is not said is left out.", "请求体是 JSON 但不符合要求：字段未知、缺失、类型不符、以数组代替对象、值为 null 或字段重复。不需要的字段请直接省略。"),
    ("login_blocked", "WeChat considers the account risky and does not let it log in.", "微信判定该账号存在风险，不允许登录。"),
    ("login_code_invalid", "The code of wx.login is invalid, used or older than five minutes: call wx.login again.", "wx.login 的 code 无效、已使用或已过期，请重新调用 wx.login。"),
    ("login_too_frequent", "WeChat lets one person log in so often a minute. Wait as long as Retry-After says.", "微信限制了登录频率，请按 Retry-After 等待。"),
    ("login_unavailable", "WeChat's login does not answer now. Try again after Retry-After.", "微信登录暂不可用，请按 Retry-After 重试。"),
    ("merchant_already_registered", "The person has a merchant, or one that waits for approval.", "该用户已有商户或待审核的入驻申请。"),
    ("merchant_not_active", "The merchant does not take payments at the moment.", "商户当前不收款。"),
    ("merchant_not_approved", "The merchant is not approved, or suspended.", "商户未通过审核或已停用。"),
    ("merchant_not_found", "This tenant has no such merchant.", "本平台没有该商户。"),
    ("merchant_not_of_points_transaction", "The merchant is not one of the tenant's, or not the one of the order.", "商户不属于本平台，或与订单的商户不符。"),
    ("merchant_state_conflict", "In the state that the merchant is in this is not possible; field.expected says in which it would be, and in which it is.", "商户当前状态不允许此操作；所需状态与当前状态见 field.expected。"),
    ("merchant_suspended", "The merchant is suspended: operators refund what was paid to it, its own people do not.", "商户已停用：退款由平台人员处理，商户人员不能发起或批准。"),
    ("method_not_allowed", "The path exists, but not with this method; the header Allow says with which.", "该路径不支持此方法，见 Allow 响应头。"),
    ("mini_program_code_refused", "WeChat refused to draw the mini-program code, usually since the page is not released.", "微信拒绝生成小程序码，通常因为页面尚未发布。"),
    ("mini_program_code_unavailable", "WeChat does not draw now. Try again after Retry-After.", "微信暂时无法生成小程序码，请按 Retry-After 重试。"),
    ("not_found", "There is nothing here, or nothing that the caller may see.", "内容不存在，或无权查看。"),
    ("not_merchant_staff", "The person is not on the staff of any merchant of this tenant.", "该用户不是本平台任何商户的成员。"),
    ("order_already_paid", "The order is paid. order_no says which; do not let anybody pay again.", "订单已支付，单号见 order_no，请勿重复付款。"),
    ("order_closed", "The order was closed. Make a new one with a new key.", "订单已关闭，请使用新的请求标识重新下单。"),
    ("order_expired", "The order's time to be paid is over. Make a new one with a new key.", "订单已过期，请使用新的请求标识重新下单。"),
    ("order_not_found", "There is no such order, or it is not the caller's.", "订单不存在，或不属于调用方。"),
    ("order_not_of_customer", "There is no such order of this customer.", "该顾客没有此订单。"),
    ("order_not_paid", "The order is not paid, so there is nothing to give back.", "订单尚未支付，无可退金额。"),
    ("order_payment_in_progress", "The customer is paying at this moment. Look again in a few seconds.", "顾客正在支付，请几秒后再查询。"),
    ("overloaded", "Too many requests wait. Nothing was done: repeat it after Retry-After.", "等待中的请求过多，未作任何处理。请按 Retry-After 重试。"),
    ("payment_code_absent", "Only a payment that the merchant shows has something to scan, and only while WeChat honours the address: for two hours. Repeat the payment's creation with the same key to get another.", "只有商户出示的订单才有付款码，且付款码两小时内有效；请使用同一请求标识重新创建以获取新的付款码。"),
    ("points_insufficient", "The customer has fewer points that can be spent; field.expected says how many.", "可用积分不足，可用数量见 field.expected。"),
    ("points_rule_not_overridden", "The merchant has no points rule of its own, so there is none to withdraw.", "该商户没有单独的积分规则。"),
    ("points_transaction_not_found", "There is no such points transaction, or another back end made it.", "积分操作不存在，或属于其他系统。"),
    ("points_transaction_not_returnable", "Only a deduction or a redemption is returned.", "只有扣减或兑换才能退回。"),
    ("points_transaction_state_conflict", "The points transaction is not in a state in which this is possible; field.expected says in which it is.", "积分操作的当前状态不允许，见 field.expected。"),
    ("query_invalid", "The query has a parameter that is unknown here, has one twice or lacks one; field says which and what.", "查询参数未知、重复或缺失，见 field。"),
    ("rate_limited", "Asked too often; nothing was done. Wait as long as Retry-After says.", "请求过于频繁，未作任何处理。请按 Retry-After 等待。"),
    ("reference_reused", "The reference was used for another request. A reference names one points transaction, for ever; points_transaction_id says which.", "该业务单号已用于其他请求；一个单号永远只对应一次操作，即 points_transaction_id。"),
    ("refresh_token_expired", "The refresh token has expired: log in again.", "刷新令牌已过期，请重新登录。"),
    ("refresh_token_invalid", "The refresh token is not one of ours: log in again.", "刷新令牌无效，请重新登录。"),
    ("refresh_token_reused", "The refresh token was used before, so perhaps somebody has stolen it. All that this login led to is revoked: log in again.", "刷新令牌已被使用过，可能已泄露；该次登录产生的令牌均已失效，请重新登录。"),
    ("refund_above_limit", "With this refund the order would give back more than this person decides alone; somebody else has to.", "加上本次退款，该订单的退款总额超出该人员的审批权限，须由他人审批。"),
    ("refund_already_decided", "The refund waits for nobody's decision, or no longer.", "该退款不在等待审批，或已审批。"),
    ("refund_call_in_progress", "WeChat was told of the refund a moment ago and may still take it. Try again in a minute, or in ten if it did not answer.", "刚刚向微信提交过该退款，微信仍可能受理。请一分钟后再试；若微信未应答，请十分钟后再试。"),
    ("refund_exceeds_refundable", "More than is left of the order; refundable_fen says how much is left.", "超出订单可退金额，剩余可退金额见 refundable_fen。"),
    ("refund_needs_second_person", "Whoever asked for a refund does not decide on it.", "申请人不能审批自己的退款。"),
    ("refund_not_abnormal", "Only an abnormal refund can be sent elsewhere.", "只有异常退款才能改变去向。"),
    ("refund_not_found", "There is no such refund, or it is not the caller's.", "退款单不存在，或不属于调用方。"),
    ("refund_not_withdrawable", "WeChat has the refund, or it is over, or it still waits for a second person: only one that WeChat has not taken is withdrawn. field.expected says in which state it is.", "微信已受理该退款，或退款已结束，或仍在等待审批；只有微信尚未受理的退款才能撤回。当前状态见 field.expected。"),
    ("refund_points_spent", "The points that would have to come back are spent, and the tenant's policy refuses such refunds.", "应退回的积分已被使用，而平台政策不允许此类退款。"),
    ("refund_too_many", "WeChat refunds one order 50 times at most.", "微信限制同一订单最多退款 50 次。"),
    ("refund_too_old", "WeChat does not refund what was paid more than a year ago.", "支付已超过一年，微信不支持退款。"),
    ("refunded_elsewhere", "WeChat says that something of the order was refunded elsewhere, and not how much. State the number of that refund first.", "微信显示该订单已在别处退款，但金额未知。请先填写该笔退款的单号。"),
    ("request_invalid", "The request is not valid HTTP, or cannot be understood.", "请求不是合法的 HTTP 请求，或无法理解。"),
    ("request_too_slow", "The head or the body did not arrive in the time that they have. Nothing was done.", "请求头或请求体未在限定时间内送达，未作任何处理。"),
    ("return_exceeds_taken", "More points than the deduction or redemption took and are not returned yet; field.expected says how many.", "退回积分超出该操作扣除且尚未退回的数量，见 field.expected。"),
    ("review_already_decided", "The review is decided already.", "该审核已处理。"),
    ("review_claimed", "Somebody else has claimed the review.", "该审核已被他人领取。"),
    ("review_needs_second_person", "Another person is needed than the one who asked for the points or approved first.", "须由申请人及首次批准人以外的人员处理。"),
    ("review_not_claimed", "The review is not claimed by the caller.", "调用方未领取该审核。"),
    ("review_not_found", "There is no such review.", "审核记录不存在。"),
    ("risk_blocked", "Not allowed for reasons of safety; nothing was done. Which rule it was is not said; quote decision when asking for help.", "出于安全考虑未予执行。不公开具体规则；求助时请提供 decision。"),
    ("risk_off", "Risk is switched off in this service.", "本服务未启用风控。"),
    ("risk_rules_invalid", "The file of risk rules has mistakes, all named in mistakes. The old rules stay in force.", "风控规则文件有误，见 mistakes；原规则继续生效。"),
    ("risk_rules_unreadable", "The file of risk rules cannot be read. The old rules stay in force.", "无法读取风控规则文件，原规则继续生效。"),
    ("risk_verification_required", "The customer has to answer the challenge first, and then the request is repeated as it was. Nothing was done.", "须先由顾客完成 challenge 验证，再原样重试。未作任何处理。"),
    ("sharing_channel_refused", "WeChat Pay refused it for good; the service's log has WeChat's words.", "微信支付明确拒绝，原因见服务日志。"),
    ("sharing_channel_unknown", "WeChat Pay did not answer. Repeat the request: under the same number nothing happens twice.", "微信支付未应答。请重试：同一单号不会重复处理。"),
    ("sharing_not_found", "There is no such order, or nothing of it is shared (yet).", "订单不存在，或没有（尚未）分账。"),
    ("sharing_nothing_to_retry", "Nothing of the sharing waits to be tried again.", "没有需要重试的分账。"),
    ("sharing_ratio_too_high", "The parts together are more than WeChat allows the merchant to share; field.expected says how much.", "分账比例之和超过微信允许的上限，见 field.expected。"),
    ("sharing_receiver_in_use", "The rule in force names the receiver: change the rule first.", "生效中的分账规则正在使用该接收方，请先修改规则。"),
    ("sharing_receiver_not_active", "A receiver of the rule is not active: add it again.", "规则中的接收方未生效，请重新添加。"),
    ("sharing_receiver_not_found", "There is no such receiver of this merchant.", "该商户没有此分账接收方。"),
    ("source_not_allowed", "The token's name cannot be the source of points: 1 to 32 of a-z, 0-9 and -.", "该令牌的名称不能作为积分来源。"),
    ("stopping", "The process is stopping. Nothing was done: repeat it, another process answers.", "进程正在停止，未作任何处理。请重试，由其他进程处理。"),
    ("sub_mchid_taken", "Another merchant has this number at WeChat under the same account; field.expected says which, if it is one of this tenant.", "同一服务商下该微信支付商户号已属于其他商户，见 field.expected。"),
    ("tenant_not_found", "There is no tenant of this code. It is meant literally.", "没有该代码的平台；代码须完全一致。"),
    ("timeout", "No answer in time, so the outcome is unknown. Repeat the same request: with the same key (or number, or reference) nothing happens twice. Of a login or a refresh: log in again, with a fresh code of wx.login.", "未在限定时间内得到结果，结果未知。请原样重试：同一请求标识（或单号）不会重复处理。登录或刷新令牌时，请用新的 wx.login code 重新登录。"),
    ("token_expired", "The access token has expired: refresh it.", "访问令牌已过期，请刷新。"),
    ("token_invalid", "The access token is not one of ours.", "访问令牌无效。"),
    ("token_missing", "Send Authorization: Bearer and an access token.", "请在 Authorization 请求头中携带 Bearer 访问令牌。"),
    ("too_many_connections", "All connections are in use, or all of one address. Nothing was done: repeat it after Retry-After.", "连接数已满（总数或单一来源），未作任何处理。请按 Retry-After 重试。"),
    ("unavailable", "The database did not answer, so the outcome is unknown. Repeat the same request: with the same key (or number, or reference) nothing happens twice. Of a login or a refresh: log in again, with a fresh code of wx.login.", "数据库未应答，结果未知。请原样重试：同一请求标识（或单号）不会重复处理。登录或刷新令牌时，请用新的 wx.login code 重新登录。"),
    ("uri_too_long", "The address of the request is too long.", "请求地址过长。"),
    ("wechat_answer_mismatch", "WeChat's answer does not fit the order or the refund. Nothing was booked; operators look at it.", "微信支付返回的信息与订单或退款不符，未入账，由平台人员处理。"),
];

/// Every code, for the document.
pub(super) fn codes() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(code, ..)| *code)
}

/// One code's page.
pub(super) async fn page(Path(code): Path<String>) -> Result<impl IntoResponse, Problem> {
    let line = TABLE.iter().find(|(known, ..)| *known == code);
    let line = line.ok_or_else(Problem::not_found)?;
    Ok(html(line.0, std::slice::from_ref(line)))
}

/// All of them.
pub(super) async fn index() -> impl IntoResponse {
    html("problems", TABLE)
}

fn html(title: &str, lines: &[(&str, &str, &str)]) -> impl IntoResponse {
    let mut text = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>body{{font:16px/1.6 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}}</style>"
    );
    for (code, english, chinese) in lines {
        let _ = write!(
            text,
            "<h1 id=\"{code}\">{code}</h1><p>{english}</p><p lang=\"zh\">{chinese}</p>"
        );
    }
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'",
        ),
        (header::CACHE_CONTROL, "public, max-age=3600"),
    ];
    (headers, text)
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        path::{Path, PathBuf},
    };

    use super::*;

    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // Callbacks speak as WeChat expects.
                if !path.ends_with("callbacks") {
                    sources(&path, found);
                }
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                found.push(path);
            }
        }
    }

    /// Codes stand behind a status, behind `code:`, or first in a call of one of the short makers
    /// of problems.
    fn codes_in(source: &str) -> BTreeSet<String> {
        let source = source.split("#[cfg(test)]").next().unwrap();
        let mut found = BTreeSet::new();
        let pieces: Vec<_> = source.split('"').collect();
        for pair in pieces.windows(2).step_by(2) {
            let [before, literal] = pair else { continue };
            let before = before.trim_end();
            let is_code = before.ends_with("code:")
                || before.ends_with("status,")
                || before.rsplit_once("StatusCode::").is_some_and(|(_, rest)| {
                    rest.ends_with(',') && !rest.contains([' ', '(', ')'])
                })
                || [
                    "conflict(",
                    "forbidden(",
                    "unavailable(",
                    "unauthorized(",
                    "invalid(",
                ]
                .iter()
                .any(|maker| before.ends_with(maker));
            let plain = |letter: char| {
                letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_'
            };
            if is_code && !literal.is_empty() && literal.chars().all(plain) {
                found.insert((*literal).to_owned());
            }
        }
        found
    }

    #[test]
    fn every_code_of_the_sources_has_its_page() {
        let mut files = Vec::new();
        sources(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http"),
            &mut files,
        );
        let mut used = BTreeSet::new();
        for file in files {
            used.extend(codes_in(&std::fs::read_to_string(file).unwrap()));
        }
        let known: BTreeSet<_> = codes().map(str::to_owned).collect();
        assert_eq!(known.len(), TABLE.len(), "twice");
        assert!(codes().is_sorted());
        assert_eq!(&used - &known, BTreeSet::new(), "without a page");
    }

    #[test]
    fn pages_say_it_in_both_languages_and_need_no_escaping() {
        for (code, english, chinese) in TABLE {
            assert!(english.is_ascii() && english.ends_with('.'), "{code}");
            assert!(!chinese.is_ascii() && chinese.ends_with('。'), "{code}");
            for text in [english, chinese] {
                assert!(!text.contains(['<', '>', '&']), "{code}");
            }
        }
    }
}
