//! Profit sharing (分账): what of a payment goes to others than the shop.

mod gateway;

pub use gateway::{
    ChannelPart, ChannelReturn, ChannelShare, PartResult, ReceiverCall, ReceiverKind, ReturnCall,
    ReturnResult, ShareCall, SharePart, SharingGateway, SharingGateways,
};
