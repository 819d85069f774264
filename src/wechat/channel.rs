//! One merchant account at WeChat Pay, as a payment channel.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::{
    certificates::Fetching, error::WechatError, key_ring::KeyRing, notice, transport::Transport,
};
use crate::{
    config::{WechatMode, WechatSettings},
    payments::{
        AbnormalRefund, Bill, BillKind, ChannelMode, ChannelOrder, ChannelOutcome, ChannelRefund,
        Notice, NoticeError, NoticeHeaders, OurAccount, PayParameters, PaymentChannel,
        PrepayRequest, RefundCall,
    },
    primitives::{BusinessDay, Clock, IdSource, OrderNo, RefundNo, Timestamp},
};

/// Our account at WeChat Pay, as a service provider or as a merchant.
#[derive(Debug)]
pub struct WechatChannel {
    pub(super) us: OurAccount,
    /// Without a slash at the end.
    notify_base: String,
    pub(super) keys: Arc<KeyRing>,
    pub(super) transport: Transport,
    pub(super) fetching: Fetching,
}

impl WechatChannel {
    /// Parses every key. `ids` makes nonces, `clock` dates requests and judges the age of answers.
    pub fn new(
        settings: &WechatSettings,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Result<Self, WechatError> {
        let keys = Arc::new(KeyRing::new(settings)?);
        Ok(Self {
            us: OurAccount {
                mode: match settings.mode {
                    WechatMode::Partner => ChannelMode::Partner,
                    WechatMode::Direct => ChannelMode::Direct,
                },
                mchid: settings.sp_mchid.clone(),
                app_id: settings.app_id.clone(),
            },
            notify_base: settings
                .notify_base
                .as_str()
                .trim_end_matches('/')
                .to_owned(),
            transport: Transport::new(settings, Arc::clone(&keys), clock, ids)?,
            keys,
            fetching: Fetching::new(settings.fetch_certificates),
        })
    }

    /// Where WeChat shall tell us of something.
    pub(super) fn notify_url(&self, path: &str) -> String {
        format!("{}{path}", self.notify_base)
    }

    /// The merchant as bodies and queries name it: not at all in direct mode.
    pub(super) fn sub_mchid<'a>(&self, sub_mchid: &'a str) -> Option<&'a str> {
        match self.us.mode {
            ChannelMode::Partner => Some(sub_mchid),
            ChannelMode::Direct => None,
        }
    }
}

impl PaymentChannel for WechatChannel {
    fn account(&self) -> &OurAccount {
        &self.us
    }

    fn prepay(&self, request: PrepayRequest) -> BoxFuture<'_, ChannelOutcome<String>> {
        Box::pin(self.prepay_jsapi(request))
    }

    fn prepay_native(&self, request: PrepayRequest) -> BoxFuture<'_, ChannelOutcome<String>> {
        Box::pin(self.prepay_code(request))
    }

    /// §3.3. The first signed line is the mini-program's id although the mini-program does not pass
    /// it.
    fn pay_parameters(&self, prepay_id: &str, now: Timestamp) -> PayParameters {
        let (time_stamp, nonce_str) = (now.seconds().to_string(), self.transport.nonce());
        let package = format!("prepay_id={prepay_id}");
        let app_id = &self.us.app_id;
        let message = format!("{app_id}\n{time_stamp}\n{nonce_str}\n{package}\n");
        let pay_sign = self.keys.load().merchant.sign(message.as_bytes());
        PayParameters {
            time_stamp,
            nonce_str,
            package,
            sign_type: "RSA".to_owned(),
            pay_sign,
        }
    }

    fn query<'a>(
        &'a self,
        order_no: OrderNo,
        sub_mchid: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<ChannelOrder>> {
        Box::pin(self.find_by_number(order_no, sub_mchid))
    }

    fn query_by_transaction<'a>(
        &'a self,
        wechat_transaction_id: &'a str,
        sub_mchid: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<ChannelOrder>> {
        Box::pin(self.find_by_transaction(wechat_transaction_id, sub_mchid))
    }

    fn close<'a>(
        &'a self,
        order_no: OrderNo,
        sub_mchid: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<()>> {
        Box::pin(self.close_order(order_no, sub_mchid))
    }

    fn refund(&self, call: RefundCall) -> BoxFuture<'_, ChannelOutcome<ChannelRefund>> {
        Box::pin(self.ask_refund(call))
    }

    fn query_refund<'a>(
        &'a self,
        refund_no: RefundNo,
        sub_mchid: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<ChannelRefund>> {
        Box::pin(async move { self.find_refund(&refund_no.to_string(), sub_mchid).await })
    }

    fn query_refund_of<'a>(
        &'a self,
        out_refund_no: &'a str,
        sub_mchid: &'a str,
    ) -> BoxFuture<'a, ChannelOutcome<ChannelRefund>> {
        Box::pin(self.find_refund(out_refund_no, sub_mchid))
    }

    fn redirect_refund(
        &self,
        call: AbnormalRefund,
    ) -> BoxFuture<'_, ChannelOutcome<ChannelRefund>> {
        Box::pin(self.ask_abnormal_refund(call))
    }

    fn bill(
        &self,
        kind: BillKind,
        day: BusinessDay,
    ) -> BoxFuture<'_, ChannelOutcome<Option<Bill>>> {
        Box::pin(self.fetch_bill(kind, day))
    }

    fn read_notice(
        &self,
        headers: NoticeHeaders<'_>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Notice, NoticeError> {
        let keys = self.keys.load();
        let read = notice::read(
            &keys.wechat,
            &keys.content,
            self.us.mode,
            headers,
            body,
            now,
        );
        if matches!(read, Err(NoticeError::UnknownKey)) {
            // Fetched in the background, at most once a minute; WeChat sends the callback again.
            self.keys
                .note_unknown_serial(headers.serial.unwrap_or_default());
        }
        read
    }

    fn name_of_notice(&self, body: &[u8]) -> Option<(String, Timestamp)> {
        notice::name_of(body)
    }

    fn reread_notice(&self, body: &[u8]) -> Result<Notice, NoticeError> {
        notice::reread(&self.keys.load().content, self.us.mode, body)
    }
}
