//! The demo's tenant with its points rule, merchants and their codes. Made once; making it again
//! finds what is there.
//!
//! A tenant and an operator's token come from the operator's machine, so they are made here with
//! the service's own settings. Everything else goes over HTTP, by the people who would do it: an
//! owner registers, an admin approves, the owner puts codes on the counters.

use anyhow::{Context as _, anyhow, bail};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    answer::{PointsRule, StaffOf},
    patience::ApiError,
    plan::Counter,
    service::{LoginAs, Person, Service, TENANT},
    wechat::{PhoneMerchant, Wechat},
};
use zhangfang::{
    app,
    auth::{OperatorRole, Principal},
    cli::open_database,
    config::TokenOnly,
    points,
    primitives::Money,
    tenants::{self, TenantError},
};

const TENANT_NAME: &str = "账房演示平台";

/// Name, what the fixed code is for, and its price in fen.
const MERCHANTS: [(&str, &str, i64); 12] = [
    ("茶里巷", "招牌乌龙", 1_800),
    ("老张面馆", "牛肉面", 2_600),
    ("西街书店", "明信片", 990),
    ("山海咖啡", "拿铁", 2_200),
    ("良品便利", "早餐套餐", 1_250),
    ("青禾花店", "小束鲜花", 6_600),
    ("红砖烘焙", "可颂", 1_580),
    ("小满水果", "果切", 1_990),
    ("阿婆豆浆", "豆浆油条", 850),
    ("北门理发", "洗剪吹", 4_500),
    ("一木文具", "笔记本", 1_360),
    ("南风小馆", "工作日午餐", 3_280),
];
const OPEN_LABEL: &str = "收银台";

/// A merchant that takes payments.
#[derive(Debug)]
pub(super) struct Merchant {
    pub(super) name: String,
    pub(super) owner: Person,
    pub(super) id: String,
}

/// The tenant's two people: what one asks for, the other agrees to, or not.
#[derive(Debug)]
pub(super) struct Operators {
    pub(super) admin: Person,
    pub(super) second: Person,
    /// A back end that gives and takes points.
    pub(super) service: Person,
}

/// Everything the day happens on.
#[derive(Debug)]
pub(super) struct Tenant {
    pub(super) merchants: Vec<Merchant>,
    pub(super) counters: Vec<Counter>,
    pub(super) rule: PointsRule,
    /// Merchants that an operator has suspended since they were made.
    pub(super) left_out: Vec<String>,
}

/// One code, for the table and the phone.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Offer {
    pub(super) merchant: String,
    pub(super) code: String,
    pub(super) amount_fen: Option<i64>,
    pub(super) pay_page: String,
}

/// Finds or makes the tenant, and lets its operators in.
pub(super) async fn operators(settings: &TokenOnly) -> anyhow::Result<Operators> {
    let db = open_database(&settings.database).await?;
    let made = async {
        if let Some(tenant) = tenants::find_by_code(&db, TENANT).await? {
            return Ok(tenant);
        }
        match points::create_tenant(&db, TENANT, TENANT_NAME).await {
            // Two demos at once.
            Err(TenantError::CodeTaken) => {
                let tenant = tenants::find_by_code(&db, TENANT).await?;
                tenant.ok_or_else(|| anyhow!("its code is taken and cannot be found"))
            }
            made => Ok(made?),
        }
    };
    let made = made.await;
    db.close().await;
    let tenant = made.context("the tenant `demo` cannot be had")?;
    let operator = |name: &str, role| {
        let principal = Principal::Operator {
            tenant: tenant.id,
            name: name.to_owned(),
            role,
        };
        Person::operator(app::tokens(&settings.auth), principal)
    };
    Ok(Operators {
        admin: operator("demo", OperatorRole::Admin),
        second: operator("demo-second", OperatorRole::Admin),
        service: operator("demo-crm", OperatorRole::Service),
    })
}

/// Makes what is missing. `run` names this run in idempotency keys.
pub(super) async fn prepare(
    service: &Service,
    admin: &Person,
    merchants: usize,
    run: &str,
) -> anyhow::Result<Tenant> {
    let rule = rule(service, admin)
        .await
        .context("the points rule could not be set")?;
    let mut tenant = Tenant {
        merchants: Vec::new(),
        counters: Vec::new(),
        rule,
        left_out: Vec::new(),
    };
    for number in 0..merchants {
        let plan = MerchantPlan::of(number);
        let opened = plan.open(service, admin, run).await;
        let Some(merchant) =
            opened.with_context(|| format!("{} could not be opened", plan.name))?
        else {
            tenant.left_out.push(plan.name);
            continue;
        };
        let index = tenant.merchants.len();
        let codes = plan.codes(service, &merchant.owner, run).await;
        let codes = codes.with_context(|| format!("{} has no codes", plan.name))?;
        tenant
            .counters
            .extend(codes.map(|(code, amount_fen)| Counter {
                merchant: index,
                code,
                amount_fen,
            }));
        tenant.merchants.push(merchant);
    }
    if tenant.merchants.is_empty() {
        bail!("every merchant of the demo is suspended; `./dev reset` makes new ones");
    }
    Ok(tenant)
}

/// One point per yuan, at most 2,000 a day, good for a year: put in force instead of the rule that
/// a new tenant begins with. Later changes are deliberate and stay.
async fn rule(service: &Service, admin: &Person) -> Result<PointsRule, ApiError> {
    let rule = service.rule(admin).await?;
    if rule.version > 1 {
        return Ok(rule);
    }
    let terms = json!({ "ratio": "1", "daily_cap": 2_000, "expiry_days": 365 });
    service.set_rule(admin, &terms).await
}

/// A merchant as it should be.
struct MerchantPlan {
    number: usize,
    name: String,
    specialty: &'static str,
    price_fen: i64,
}

impl MerchantPlan {
    /// Merchants beyond the list are branches of the first ones.
    fn of(number: usize) -> Self {
        let (name, specialty, price_fen) = MERCHANTS[number % MERCHANTS.len()];
        let branch = number / MERCHANTS.len() + 1;
        let name = match branch {
            1 => name.to_owned(),
            branch => format!("{name}（{branch}店）"),
        };
        Self {
            number: number + 1,
            name,
            specialty,
            price_fen,
        }
    }

    /// The merchant, approved; none when an operator has suspended it.
    async fn open(
        &self,
        service: &Service,
        admin: &Person,
        run: &str,
    ) -> Result<Option<Merchant>, ApiError> {
        let login_code = format!("sim-merchant-owner-{}", self.number);
        let owner = Person::new(login_code.clone(), LoginAs::Merchant);
        let mut staff = staff_of(service, &owner).await?;
        if staff.as_ref().is_none_or(|staff| staff.state == "rejected") {
            let person = Person::new(login_code, LoginAs::Customer);
            let key = format!("{run}-register-{}", self.number);
            match service.register(&person, &key, &self.form()).await {
                Err(error) if error.is("merchant_already_registered") => {}
                registered => registered?,
            }
            staff = staff_of(service, &owner).await?;
        }
        let Some(mut staff) = staff else {
            return Err(ApiError::Strange(
                "registered, and not on the staff".to_owned(),
            ));
        };
        if staff.state == "pending" {
            let key = format!("{run}-approve-{}", self.number);
            let sub_mchid = format!("19{:08}", self.number);
            service
                .approve(admin, &key, &staff.merchant, &sub_mchid)
                .await?;
            "approved".clone_into(&mut staff.state);
        }
        Ok((staff.state == "approved").then_some(Merchant {
            name: staff.name,
            owner,
            id: staff.merchant,
        }))
    }

    fn form(&self) -> Value {
        json!({
            "name": self.name,
            "contact_name": "演示店主",
            "contact_phone": format!("1380000{:04}", self.number),
            "business_license": format!("9131000DEMO{:07}", self.number),
            "address": format!("上海市黄浦区演示路 {} 号", self.number),
        })
    }

    /// The open code and the fixed one.
    async fn codes(
        &self,
        service: &Service,
        owner: &Person,
        run: &str,
    ) -> Result<impl Iterator<Item = (String, Option<i64>)> + use<>, ApiError> {
        let there = service.codes(owner).await?;
        let wanted = [(OPEN_LABEL, None), (self.specialty, Some(self.price_fen))];
        let mut codes = Vec::new();
        for (label, amount_fen) in wanted {
            let known = there.iter().find(|code| {
                code.state == "active" && code.label == label && code.amount_fen == amount_fen
            });
            let code = if let Some(known) = known {
                known.code.clone()
            } else {
                let key = format!("{run}-code-{}-{}", self.number, codes.len());
                service
                    .create_code(owner, &key, label, amount_fen)
                    .await?
                    .code
            };
            codes.push((code, amount_fen));
        }
        Ok(codes.into_iter())
    }
}

/// Where the person works, if anywhere.
async fn staff_of(service: &Service, owner: &Person) -> Result<Option<StaffOf>, ApiError> {
    match service.log_in(owner).await {
        Ok((session, _)) => Ok(session.staff),
        Err(error) if error.is("not_merchant_staff") => Ok(None),
        Err(error) => Err(error),
    }
}

impl Tenant {
    pub(super) fn offers(&self, wechat: &Wechat) -> Vec<Offer> {
        let offer = |counter: &Counter| Offer {
            merchant: self.merchants[counter.merchant].name.clone(),
            code: counter.code.clone(),
            amount_fen: counter.amount_fen,
            pay_page: wechat.phone_page(&counter.code).to_string(),
        };
        self.counters.iter().map(offer).collect()
    }

    /// Puts the codes on the phone page as buttons.
    pub(super) async fn show_on_phone(&self, wechat: &Wechat) -> Result<(), ApiError> {
        let button = |offer: Offer| PhoneMerchant {
            name: match offer.amount_fen.and_then(|fen| Money::parse(fen).ok()) {
                Some(price) => format!("{} {price}", offer.merchant),
                None => offer.merchant,
            },
            code: offer.code,
        };
        let buttons: Vec<_> = self.offers(wechat).into_iter().map(button).collect();
        wechat.offer(&buttons).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merchants_beyond_the_list_are_branches_with_names_of_their_own() {
        let names: Vec<_> = (0..30)
            .map(|number| MerchantPlan::of(number).name)
            .collect();
        let mut different = names.clone();
        different.sort();
        different.dedup();
        assert_eq!(different.len(), names.len());
        assert_eq!(names[12], "茶里巷（2店）");
    }
}
