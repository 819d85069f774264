//! The port to the channel's profit sharing, in our words. `wechat/` implements it.

use std::{fmt::Debug, sync::Arc};

use futures_util::future::BoxFuture;

use crate::{
    payments::ChannelOutcome,
    primitives::{Money, Secret, SharingNo, SharingReturnNo, TenantId, Timestamp, coded},
};

coded! {
    /// What a receiver is to the channel.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum ReceiverKind {
        /// Another merchant number (`MERCHANT_ID`). Only these can give back.
        Merchant => "merchant",
        /// A person under our mini-program (`PERSONAL_OPENID`).
        Person => "person",
    }
}

/// Adds a receiver to a merchant at the channel, or deletes it.
#[derive(Debug, Clone)]
pub struct ReceiverCall {
    /// The merchant's number at the channel; in direct mode our own.
    pub sub_mchid: String,
    pub kind: ReceiverKind,
    /// A merchant number or an openid.
    pub account: Secret<String>,
    /// Full name, sent encrypted: required for merchants, optional for people.
    pub name: Option<Secret<String>>,
    /// The channel's value for the relation, such as `SERVICE_PROVIDER`, `STORE_OWNER`, `PARTNER`.
    pub relation: String,
}

/// One receiver's part of a share.
#[derive(Debug, Clone)]
pub struct SharePart {
    pub kind: ReceiverKind,
    pub account: Secret<String>,
    pub amount: Money,
    /// Shown to the receiver; cut to 80 bytes.
    pub description: String,
}

/// A share of one payment. The same call with the same number shares once.
#[derive(Debug, Clone)]
pub struct ShareCall {
    pub sharing_no: SharingNo,
    pub sub_mchid: String,
    pub wechat_transaction_id: String,
    /// If empty, nothing is shared and the frozen money is released.
    pub parts: Vec<SharePart>,
    /// Whether the rest is released.
    pub release_rest: bool,
    pub description: String,
}

/// The result of one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartResult {
    Pending,
    Success,
    Closed,
}

#[derive(Debug, Clone)]
pub struct ChannelPart {
    pub account: Secret<String>,
    pub amount: Money,
    pub result: PartResult,
    /// The channel's code, such as `ACCOUNT_ABNORMAL`, when closed.
    pub fail_reason: Option<String>,
    pub finished_at: Option<Timestamp>,
}

/// A share as the channel knows it. Finished does not mean successful: look at each part.
#[derive(Debug, Clone)]
pub struct ChannelShare {
    pub wechat_order_id: String,
    pub finished: bool,
    pub parts: Vec<ChannelPart>,
}

/// Returns some of a part from a merchant receiver, before a refund.
#[derive(Debug, Clone)]
pub struct ReturnCall {
    pub return_no: SharingReturnNo,
    pub sharing_no: SharingNo,
    pub sub_mchid: String,
    /// The receiver's merchant number.
    pub from: String,
    pub amount: Money,
    pub description: String,
}

/// The result of a return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReturnResult {
    Processing,
    Success,
    Failed,
}

#[derive(Debug, Clone)]
pub struct ChannelReturn {
    pub wechat_return_id: String,
    pub result: ReturnResult,
    pub fail_reason: Option<String>,
    pub amount: Money,
}

/// The sharing account of each tenant.
pub trait SharingChannels: Debug + Send + Sync + 'static {
    fn of(&self, tenant: TenantId) -> Arc<dyn SharingChannel>;
}

/// The channel's profit sharing.
pub trait SharingChannel: Debug + Send + Sync + 'static {
    fn add_receiver(&self, call: ReceiverCall) -> BoxFuture<'_, ChannelOutcome<()>>;

    fn delete_receiver(&self, call: ReceiverCall) -> BoxFuture<'_, ChannelOutcome<()>>;

    /// Returns the most that a merchant may share of a payment, in ten-thousandths (2000 = 20 %).
    fn ratio_max<'a>(&'a self, sub_mchid: &'a str) -> BoxFuture<'a, ChannelOutcome<u32>>;

    /// Requests a share, or with no parts the release of the frozen money.
    fn share(&self, call: ShareCall) -> BoxFuture<'_, ChannelOutcome<ChannelShare>>;

    /// Queries a share.
    fn query_share<'a>(
        &'a self,
        sharing_no: SharingNo,
        wechat_transaction_id: &'a str,
        sub_mchid: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<ChannelShare>>;

    /// Returns how much of a payment can still be shared.
    fn left_to_share<'a>(
        &'a self,
        wechat_transaction_id: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<Money>>;

    fn return_share(&self, call: ReturnCall) -> BoxFuture<'_, ChannelOutcome<ChannelReturn>>;

    fn query_return<'a>(
        &'a self,
        return_no: SharingReturnNo,
        sharing_no: SharingNo,
        sub_mchid: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<ChannelReturn>>;
}
