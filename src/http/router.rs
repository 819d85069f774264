//! Every route.

use std::sync::{Arc, OnceLock};

use axum::{Router, middleware::from_fn_with_state, routing::get};
use utoipa::OpenApi as _;
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::SwaggerUi;

use super::{
    admin, auth, callbacks, customer, limit, merchant, middleware, open, openapi,
    parameters::{self, Parameters},
    problem::Problem,
    problems, public,
};
use crate::app::App;

/// The service's whole HTTP side.
pub fn router(app: App) -> Router {
    let (router, document) = routes().split_for_parts();
    let Described { document, known } = described(&document).clone();
    let router = router
        .route("/c/{code}", get(public::code_page::code_page))
        .route("/problems", get(problems::index))
        .route("/problems/{code}", get(problems::page))
        .route_layer(from_fn_with_state(known, parameters::keep))
        .route_layer(from_fn_with_state(app.clone(), limit::keep))
        .fallback(async || Problem::not_found())
        .with_state(app.clone())
        .merge(SwaggerUi::new("/docs").external_url_unchecked("/api/v1/openapi.json", document));
    middleware::around(router, app)
}

/// The whole document, as served at `/api/v1/openapi.json`.
pub fn document() -> serde_json::Value {
    described(&routes().split_for_parts().1).document.clone()
}

/// The document of all routes, and what it knows of parameters.
#[derive(Clone)]
struct Described {
    document: serde_json::Value,
    known: Arc<Parameters>,
}

/// The routes are the program's, so they are described once, however many services there are in a
/// process: tests have hundreds.
fn described(document: &utoipa::openapi::OpenApi) -> &'static Described {
    static DESCRIBED: OnceLock<Described> = OnceLock::new();
    DESCRIBED.get_or_init(|| {
        let document = openapi::refined(document);
        Described {
            known: Arc::new(Parameters::of(&document)),
            document,
        }
    })
}

/// Paths are written whole in the endpoints' files, so that a search for one finds it.
#[rustfmt::skip]
fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::Api::openapi())
        // POST /api/v1/auth/..
        .routes(routes!(auth::wechat_login::wechat_login))          // wechat/login
        .routes(routes!(auth::refresh::refresh))                    // refresh
        // /api/v1/customer/..
        .routes(routes!(customer::me::me))                          // me
        .routes(routes!(customer::list_payments::list_payments, customer::create_payment::create_payment)) // payments
        .routes(routes!(customer::get_payment::get_payment))        // payments/{order_no}
        .routes(routes!(customer::confirm_payment::confirm_payment)) // payments/{order_no}/confirm
        .routes(routes!(customer::close_payment::close_payment))    // payments/{order_no}/close
        .routes(routes!(customer::list_refunds::list_refunds))      // payments/{order_no}/refunds
        .routes(routes!(customer::points::points))                  // points
        .routes(routes!(customer::points_records::points_records))  // points/records
        .routes(routes!(customer::points_statistics::points_statistics)) // points/statistics
        .routes(routes!(customer::get_challenge::get_challenge))    // challenges/{id}
        .routes(routes!(customer::answer_challenge::answer_challenge)) // challenges/{id}/answer
        .routes(routes!(customer::points_expiring::points_expiring)) // points/expiring
        // /api/v1/merchant/..
        .routes(routes!(merchant::register::register))              // registrations
        .routes(routes!(merchant::profile::profile))                // profile
        .routes(routes!(merchant::list_codes::list_codes, merchant::create_code::create_code)) // codes
        .routes(routes!(merchant::disable_code::disable_code))      // codes/{code}/disable
        .routes(routes!(merchant::code_picture::svg))               // codes/{code}/picture.svg
        .routes(routes!(merchant::code_picture::png))               // codes/{code}/picture.png
        .routes(routes!(merchant::code_wxacode::wxacode))           // codes/{code}/wxacode.png
        .routes(routes!(merchant::list_payments::list_payments, merchant::collect_payment::collect_payment)) // payments
        .routes(routes!(merchant::get_payment::get_payment))        // payments/{order_no}
        .routes(routes!(merchant::payment_code::svg))               // payments/{order_no}/code.svg
        .routes(routes!(merchant::payment_code::png))               // payments/{order_no}/code.png
        .routes(routes!(merchant::close_payment::close_payment))    // payments/{order_no}/close
        .routes(routes!(merchant::confirm_payment::confirm_payment)) // payments/{order_no}/confirm
        .routes(routes!(merchant::payment_refunds::payment_refunds, merchant::request_refund::request_refund)) // payments/{order_no}/refunds
        .routes(routes!(merchant::payment_history::payment_history)) // payments/{order_no}/history
        .routes(routes!(merchant::list_refunds::list_refunds))      // refunds
        .routes(routes!(merchant::get_refund::get_refund))          // refunds/{refund_no}
        .routes(routes!(merchant::decide_refund::approve))          // refunds/{refund_no}/approve
        .routes(routes!(merchant::decide_refund::reject))           // refunds/{refund_no}/reject
        .routes(routes!(merchant::totals::totals))                  // totals
        .routes(routes!(merchant::points_rule::points_rule))        // points-rule
        // /api/v1/admin/..
        .routes(routes!(admin::list_merchants::list_merchants))     // merchants
        .routes(routes!(admin::get_merchant::get_merchant))         // merchants/{id}
        .routes(routes!(admin::decide_merchant::approve))           // merchants/{id}/approve
        .routes(routes!(admin::decide_merchant::reject))            // merchants/{id}/reject
        .routes(routes!(admin::decide_merchant::suspend))           // merchants/{id}/suspend
        .routes(routes!(admin::points_rule::get_points_rule, admin::points_rule::set_points_rule)) // points-rule
        .routes(routes!(admin::points_rule_versions::list_versions)) // points-rule/versions
        .routes(routes!(admin::dry_run_points_rule::dry_run))       // points-rule/dry-run
        .routes(routes!(admin::merchant_points_rule::get_points_rule, admin::merchant_points_rule::set_points_rule, admin::merchant_points_rule::withdraw_points_rule)) // merchants/{id}/points-rule
        .routes(routes!(admin::list_payments::list_payments))       // payments
        .routes(routes!(admin::get_payment::get_payment))           // payments/{order_no}
        .routes(routes!(admin::payment_history::payment_history))   // payments/{order_no}/history
        .routes(routes!(admin::close_payment::close_payment))       // payments/{order_no}/close
        .routes(routes!(admin::confirm_payment::confirm_payment))   // payments/{order_no}/confirm
        .routes(routes!(admin::request_refund::request_refund))     // payments/{order_no}/refunds
        .routes(routes!(admin::foreign_refund::note_foreign_refund)) // payments/{order_no}/foreign-refunds
        .routes(routes!(admin::list_refunds::list_refunds))         // refunds
        .routes(routes!(admin::show_refund::show_refund))           // refunds/{refund_no}
        .routes(routes!(admin::decide_refund::approve))             // refunds/{refund_no}/approve
        .routes(routes!(admin::decide_refund::reject))              // refunds/{refund_no}/reject
        .routes(routes!(admin::redirect_refund::redirect_refund))   // refunds/{refund_no}/redirect
        .routes(routes!(admin::retry_refund::retry_refund))         // refunds/{refund_no}/retry
        .routes(routes!(admin::withdraw_refund::withdraw_refund))   // refunds/{refund_no}/withdraw
        .routes(routes!(admin::payment_policy::get_payment_policy, admin::payment_policy::set_payment_policy)) // payment-policy
        .routes(routes!(admin::list_exceptions::list_exceptions))   // exceptions
        .routes(routes!(admin::resolve_exception::resolve_exception)) // exceptions/{id}/resolve
        .routes(routes!(admin::list_callbacks::list_callbacks))     // callbacks
        .routes(routes!(admin::get_callback::get_callback))         // callbacks/{id}
        .routes(routes!(admin::replay_callback::replay_callback))   // callbacks/{id}/replay
        .routes(routes!(admin::callback_alarms::callback_alarms))   // callback-alarms
        .routes(routes!(admin::audit_logs::audit_logs))             // audit-logs
        .routes(routes!(admin::delivery_settings::get_delivery_settings, admin::delivery_settings::set_delivery_settings)) // delivery-settings
        .routes(routes!(admin::list_deliveries::list_deliveries))   // deliveries
        .routes(routes!(admin::retry_delivery::retry_delivery))     // deliveries/{id}/retry
        // /api/v1/admin/risk/..
        .routes(routes!(admin::risk_rules::get_rules))              // risk/rules
        .routes(routes!(admin::risk_rules::reload_rules))           // risk/rules/reload
        .routes(routes!(admin::risk_rule_sets::list_rule_sets))     // risk/rule-sets
        .routes(routes!(admin::risk_rule_sets::get_rule_set))       // risk/rule-sets/{number}
        .routes(routes!(admin::risk_decisions::list_decisions))     // risk/decisions
        .routes(routes!(admin::risk_decision::get_decision))        // risk/decisions/{id}
        // /api/v1/admin/risk/reviews..
        .routes(routes!(admin::list_reviews::list_reviews))         // ""
        .routes(routes!(admin::get_review::get_review))             // {id}
        .routes(routes!(admin::claim_review::claim))                // {id}/claim
        .routes(routes!(admin::claim_review::unclaim))            // {id}/unclaim
        .routes(routes!(admin::decide_review::approve))             // {id}/approve
        .routes(routes!(admin::decide_review::reject))              // {id}/reject
        .routes(routes!(admin::expiring_points::expiring_points))   // points/expiring
        .routes(routes!(admin::expiry_runs::list_expiry_runs, admin::expiry_runs::start_expiry_run)) // points/expiry-runs
        // profit sharing
        .routes(routes!(merchant::sharing::sharing_rule))           // /api/v1/merchant/sharing-rule
        .routes(routes!(merchant::sharing::payment_sharing))        // /api/v1/merchant/payments/{order_no}/sharing
        .routes(routes!(admin::sharing_receivers::list_receivers, admin::sharing_receivers::add_receiver)) // /api/v1/admin/merchants/{id}/sharing-receivers
        .routes(routes!(admin::sharing_receivers::remove_receiver)) // /api/v1/admin/sharing-receivers/{id}/remove
        .routes(routes!(admin::sharing_rule::get_sharing_rule, admin::sharing_rule::set_sharing_rule)) // /api/v1/admin/merchants/{id}/sharing-rule
        .routes(routes!(admin::sharings::list_sharings))            // /api/v1/admin/sharings
        .routes(routes!(admin::sharings::get_payment_sharing))      // /api/v1/admin/payments/{order_no}/sharing
        .routes(routes!(admin::sharings::retry_payment_sharing))    // /api/v1/admin/payments/{order_no}/sharing/retry
        .routes(routes!(admin::points_statistics::points_statistics)) // /api/v1/admin/points/statistics
        // /api/v1/open/points/..
        .routes(routes!(open::award_points::award_points))          // awards
        .routes(routes!(open::deduct_points::deduct_points))        // deductions
        .routes(routes!(open::redeem_points::redeem_points))        // redemptions
        .routes(routes!(open::hold_points::hold_points))            // holds
        .routes(routes!(open::return_points::return_points))        // returns
        .routes(routes!(open::end_hold::capture))                   // holds/{id}/capture
        .routes(routes!(open::end_hold::release))                   // holds/{id}/release
        .routes(routes!(open::customer_balance::customer_balance))  // customers/{customer_id}/balance
        .routes(routes!(open::list_points_transactions::list_points_transactions))              // transactions
        .routes(routes!(open::get_points_transaction::get_points_transaction))                  // transactions/{id}
        // no token
        .routes(routes!(callbacks::wechat_payments::wechat_payments)) // /api/v1/wechat/notify/{tenant}/payments
        .routes(routes!(callbacks::wechat_refunds::wechat_refunds)) // /api/v1/wechat/notify/{tenant}/refunds
        .routes(routes!(public::resolve_code::resolve_code))        // /api/v1/codes/{code}
        .routes(routes!(public::health::healthz))                   // /healthz
        .routes(routes!(public::health::readyz))                    // /readyz
        .routes(routes!(public::health::metrics))                   // /metrics
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::http::Method;

    use super::*;
    use crate::limits::Limit;

    #[test]
    fn the_document_has_every_route_once_and_names_its_operations() {
        let json = document();
        let operations: Vec<_> = json["paths"]
            .as_object()
            .unwrap()
            .values()
            .flat_map(|path| path.as_object().unwrap().values())
            .collect();
        assert_eq!(operations.len(), 120);
        let names: BTreeSet<_> = operations
            .iter()
            .map(|operation| operation["operationId"].as_str().unwrap())
            .collect();
        assert_eq!(names.len(), operations.len());
    }

    #[test]
    fn every_reference_of_the_document_leads_somewhere() {
        let json = document();
        let schemas = json["components"]["schemas"].as_object().unwrap();
        for reference in json.to_string().split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name}");
        }
        assert!(schemas.contains_key("Problem"));
    }

    #[test]
    fn a_post_that_makes_something_asks_for_a_key() {
        let json = document();
        let paths = json["paths"].as_object().unwrap();
        let keyed: BTreeSet<_> = paths
            .iter()
            .filter(|(_, path)| {
                path["post"]["parameters"]
                    .to_string()
                    .contains("Idempotency-Key")
            })
            .map(|(path, _)| path.as_str())
            .collect();
        let expected = [
            "/api/v1/admin/exceptions/{id}/resolve",
            "/api/v1/admin/merchants/{id}/approve",
            "/api/v1/admin/merchants/{id}/reject",
            "/api/v1/admin/merchants/{id}/sharing-receivers",
            "/api/v1/admin/merchants/{id}/suspend",
            "/api/v1/admin/payments/{order_no}/refunds",
            "/api/v1/admin/refunds/{refund_no}/approve",
            "/api/v1/admin/refunds/{refund_no}/reject",
            "/api/v1/admin/refunds/{refund_no}/withdraw",
            "/api/v1/admin/risk/reviews/{id}/approve",
            "/api/v1/admin/risk/reviews/{id}/reject",
            "/api/v1/customer/payments",
            "/api/v1/merchant/codes",
            "/api/v1/merchant/payments",
            "/api/v1/merchant/payments/{order_no}/refunds",
            "/api/v1/merchant/refunds/{refund_no}/approve",
            "/api/v1/merchant/refunds/{refund_no}/reject",
            "/api/v1/merchant/registrations",
        ];
        assert_eq!(keyed, BTreeSet::from(expected));
    }

    #[test]
    fn every_route_has_a_limit_except_callbacks_and_probes() {
        let json = document();
        let mut free = BTreeSet::new();
        let mut used = BTreeSet::new();
        for (path, operations) in json["paths"].as_object().unwrap() {
            for method in operations.as_object().unwrap().keys() {
                let method = method.to_uppercase().parse().unwrap();
                match limit::limit_of(&method, path) {
                    Some(limit) => _ = used.insert(limit),
                    None => _ = free.insert(path.as_str()),
                }
            }
        }
        let callbacks: BTreeSet<_> = json["paths"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .filter(|path| path.starts_with("/api/v1/wechat/notify/"))
            .collect();
        assert!(!callbacks.is_empty());
        let probes = BTreeSet::from(["/healthz", "/readyz", "/metrics"]);
        assert_eq!(free, &callbacks | &probes);
        assert_eq!(used, Limit::all().collect(), "a limit that no route has");
    }

    #[test]
    fn the_routes_that_were_promised_a_limit_have_it() {
        let of = |method: Method, path: &str| limit::limit_of(&method, &format!("/api/v1/{path}"));
        for (method, path, limit) in [
            (Method::POST, "customer/payments", Limit::CreatePayment),
            (Method::GET, "customer/payments", Limit::CustomerRead),
            (Method::GET, "customer/points", Limit::Points),
            (Method::GET, "customer/points/records", Limit::Points),
            (Method::HEAD, "customer/points", Limit::Points),
            (
                Method::POST,
                "customer/challenges/{id}/answer",
                Limit::CustomerWrite,
            ),
            (Method::POST, "auth/wechat/login", Limit::Login),
            (Method::POST, "auth/refresh", Limit::Refresh),
            (Method::POST, "merchant/payments", Limit::Collect),
            (
                Method::GET,
                "merchant/codes/{code}/picture.svg",
                Limit::Picture,
            ),
            (Method::PUT, "admin/points-rule", Limit::OperatorWrite),
        ] {
            assert_eq!(of(method, path), Some(limit), "{path}");
        }
        assert_eq!(
            limit::limit_of(&Method::GET, "/c/{code}"),
            Some(Limit::Public)
        );
    }
}
