//! What the simulated phone remembers: the merchants it offers and the orders it may pay.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use super::error::SimulatorError;
use super::lock::lock;
use super::phone_service::{PhoneError, ScannedMerchant, Service};

const VISITS_MAX: usize = 10_000;

/// A merchant that the phone offers as a button.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Merchant {
    pub(super) code: String,
    pub(super) name: String,
}

/// An order that the phone has made and may pay.
#[derive(Debug, Clone)]
pub(super) struct Visit {
    pub(super) customer: String,
    pub(super) merchant: ScannedMerchant,
    pub(super) order_no: String,
    pub(super) amount_fen: i64,
    pub(super) token: SecretString,
}

/// What the phone remembers.
#[derive(Debug)]
pub(super) struct Phone {
    service: Option<Service>,
    pub(super) merchants: Mutex<Vec<Merchant>>,
    /// By prepay id, and in the order in which they came.
    visits: Mutex<(HashMap<String, Visit>, VecDeque<String>)>,
}

impl Phone {
    pub(super) fn new(service_url: Option<Url>) -> Result<Self, SimulatorError> {
        let service = service_url.map(Service::new).transpose()?;
        Ok(Self {
            service,
            merchants: Mutex::default(),
            visits: Mutex::default(),
        })
    }

    pub(super) fn offer(&self, merchants: Vec<Merchant>) {
        *lock(&self.merchants) = merchants;
    }

    pub(super) fn service(&self) -> Result<&Service, PhoneError> {
        self.service
            .as_ref()
            .ok_or_else(|| PhoneError("模拟器启动时没有给出服务地址".to_owned()))
    }

    pub(super) fn remember(&self, prepay_id: String, visit: Visit) {
        let mut visits = lock(&self.visits);
        let (known, order) = &mut *visits;
        if known.insert(prepay_id.clone(), visit).is_none() {
            order.push_back(prepay_id);
        }
        if order.len() > VISITS_MAX
            && let Some(oldest) = order.pop_front()
        {
            known.remove(&oldest);
        }
    }

    pub(super) fn visit(&self, prepay_id: &str) -> Result<Visit, PhoneError> {
        let visit = lock(&self.visits).0.get(prepay_id).cloned();
        visit.ok_or_else(|| PhoneError("这部手机上没有这笔订单，请重新扫码".to_owned()))
    }
}
