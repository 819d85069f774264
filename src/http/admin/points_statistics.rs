//! `GET /api/v1/admin/points/statistics`

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Operator, Query},
        problem::{Problem, Problems},
    },
    points::{self, DayFigures, DayQuery, Grouping},
    primitives::BusinessDay,
};

/// Days that one question is about at most.
const DAYS_MAX: u32 = 366;
/// Before there were any points; and databases do not know every day of antiquity.
const YEAR_MIN: i32 = 2000;

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct StatisticsParams {
    /// The first day, at UTC+8.
    #[param(format = Date, example = "2026-11-01")]
    from: String,
    /// The last day; at most 366 days in all.
    #[param(format = Date, example = "2026-11-30")]
    to: String,
    /// Any of `day`, `source` and `rule`, with commas between; `day` unless said, and the whole
    /// time in one when empty.
    #[param(example = "day,source,rule")]
    group: Option<String>,
}

impl StatisticsParams {
    fn query(&self) -> Result<DayQuery, Problem> {
        let day = |field, text: &str| {
            BusinessDay::parse(text).ok_or_else(|| Problem::field(field, "a day: 2026-11-01"))
        };
        let (from, to) = (day("from", &self.from)?, day("to", &self.to)?);
        if from.0.year() < YEAR_MIN {
            return Err(Problem::field("from", "a day of this century"));
        }
        if to < from || to >= from.plus_days(DAYS_MAX) {
            return Err(Problem::field("to", "within 366 days from `from`"));
        }
        let mut group = Grouping::default();
        let words = self.group.as_deref().unwrap_or("day");
        for word in words.split(',').filter(|word| !word.is_empty()) {
            match word {
                "day" => group.day = true,
                "source" => group.source = true,
                "rule" => group.rule = true,
                _ => return Err(Problem::field("group", "day, source and rule, with commas")),
            }
        }
        Ok(DayQuery { from, to, group })
    }
}

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct PointsFigures {
    from: String,
    to: String,
    /// In the order of day, source, rule and `what`.
    items: Vec<PointsFigure>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct PointsFigure {
    /// At UTC+8.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = Date, example = "2026-11-21")]
    day: Option<String>,
    /// `payment`, `expiry`, or what a back end calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "merchant-crm")]
    source: Option<String>,
    /// The version of the points rule that said how many; 0: none did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 3)]
    rule_version: Option<u32>,
    /// `earned`, `awarded`, `taken_back`, `deducted`, `redeemed`, `returned`, `expired`, `held`
    /// (for a review) or `voided` (by it).
    #[schema(example = "awarded")]
    what: &'static str,
    #[schema(example = 4200)]
    points: i64,
    /// How often.
    #[schema(example = 17)]
    times: i64,
}

impl From<DayFigures> for PointsFigure {
    fn from(figures: DayFigures) -> Self {
        Self {
            day: figures.day.map(|day| day.to_string()),
            source: figures.source,
            rule_version: figures.rule_version,
            what: figures.what.name(),
            points: figures.points,
            times: figures.times,
        }
    }
}

/// How points moved, by day, source and rule
///
/// A moment behind the books.
#[utoipa::path(
    get,
    path = "/api/v1/admin/points/statistics",
    operation_id = "admin_points_statistics",
    tag = "admin",
    security(("access_token" = ["points:read"])),
    params(StatisticsParams),
    responses((status = 200, description = "The figures", body = PointsFigures), Problems),
)]
pub(in crate::http) async fn points_statistics(
    State(app): State<App>,
    auth: Auth<Operator>,
    Query(params): Query<StatisticsParams>,
) -> Result<Json<PointsFigures>, Problem> {
    let operator = auth.may(Permission::ReadPoints)?;
    let query = params.query()?;
    let figures = points::day_statistics(app.db(), operator.tenant, &query).await?;
    Ok(Json(PointsFigures {
        from: query.from.to_string(),
        to: query.to.to_string(),
        items: figures.into_iter().map(PointsFigure::from).collect(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(from: &str, to: &str, group: Option<&str>) -> Option<String> {
        let params = StatisticsParams {
            from: from.to_owned(),
            to: to.to_owned(),
            group: group.map(str::to_owned),
        };
        let problem = params.query().err()?;
        Some(format!("{problem:?}"))
    }

    #[test]
    fn a_question_is_about_a_year_at_most() {
        assert_eq!(field("2026-01-01", "2027-01-01", None), None);
        assert!(field("2026-01-01", "2027-01-02", None).is_some());
        assert!(field("2026-01-02", "2026-01-01", None).is_some());
        assert!(field("-0001-01-01", "-0001-01-02", None).is_some());
        assert!(field("2026-1-2", "2026-01-03", None).is_some());
        for group in ["", "day", "source,rule", "day,source,rule"] {
            assert_eq!(field("2026-01-01", "2026-01-31", Some(group)), None);
        }
        let wrong = field("2026-01-01", "2026-01-31", Some("day;what")).unwrap();
        assert!(wrong.contains("group"), "{wrong}");
    }
}
