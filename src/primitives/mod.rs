//! Values without I/O: money and points, typed ids, time, identity, text, pages, secrets.
//!
//! Everything here is small, `Copy` where it can be, and refuses nonsense at the border: a
//! [`Money`] is never negative, an [`OrderId`] is not a [`CustomerId`], a [`Secret`] does not
//! print.

mod bill_text;
mod clock;
mod coded;
mod id;
mod money;
mod page;
mod secret;
mod source;
mod text;
mod with_causes;

pub use bill_text::is_safe_in_bill;
pub use clock::{BusinessDay, Clock, MockClock, NotADay, SystemClock, Timestamp};
pub(crate) use coded::coded;
pub use id::{
    AccountId, ChallengeId, CommitterId, CustomerId, DecisionId, EntryCause, EntryId, EntryKind,
    ExceptionId, ExpiryRunId, Id, Lane, MerchantId, OrderId, OrderNo, ParseIdError,
    PointsTransactionId, ReceiverId, RefundId, RefundNo, ReviewId, SharingId, SharingNo,
    SharingPartId, SharingReturnId, SharingReturnNo, StaffId, TenantId, TransferId,
};
pub use money::{AmountError, Money, Points};
pub use page::{Cursor, Page, PageLimit};
pub use secret::Secret;
pub use source::{IdSource, RandomIds, SeededIds};
pub use text::{InvalidText, Length, Text};
pub use with_causes::WithCauses;
