//! The port to those who are told, in our words. `wechat/` implements it.

use std::fmt::Debug;

use futures_util::future::BoxFuture;

use crate::{
    merchants::ProgramVersion,
    payments::ChannelOutcome,
    primitives::{Secret, Timestamp, coded},
};

coded! {
    /// How goods reach the customer.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Handover {
        /// Taken along at the counter (自提).
        SelfPickup => "self_pickup",
        /// Nothing to carry (虚拟商品).
        Virtual => "virtual",
    }
}

/// What WeChat wants to know of a payment before it lets go of the money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShippingReport {
    pub wechat_transaction_id: String,
    /// Who paid, under our mini-program.
    pub openid: Secret<String>,
    pub handover: Handover,
    /// What was sold; at most 120 characters are sent.
    pub item: String,
    /// Of two reports about one payment the later one counts; the same again changes nothing.
    pub at: Timestamp,
}

/// A subscribe message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerMessage {
    pub openid: Secret<String>,
    pub template_id: String,
    /// What tapping it opens, with its query; none: nothing.
    pub page: Option<String>,
    pub program: ProgramVersion,
    /// The template's fields with their values, of the form that each field's kind asks for.
    pub data: Vec<(String, String)>,
}

/// What became of a message that was sent properly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageOutcome {
    Taken,
    /// The customer has not agreed to it, or no longer does. Not an error.
    NotSubscribed,
}

/// Carries deliveries to WeChat.
pub trait Notifier: Debug + Send + Sync + 'static {
    /// A report that was made before is done. A payment that WeChat does not know yet is refused
    /// with [`RefusalKind::Absent`](crate::payments::RefusalKind::Absent): later.
    fn report_shipping(&self, report: ShippingReport) -> BoxFuture<'_, ChannelOutcome<()>>;

    fn send_message(
        &self,
        message: CustomerMessage,
    ) -> BoxFuture<'_, ChannelOutcome<MessageOutcome>>;
}
