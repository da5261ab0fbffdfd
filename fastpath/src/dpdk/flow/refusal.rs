//! What rte_flow says when it refuses, as [`Error`].

use crate::hardware::Error;
use dpdk_sys::{rte_flow_error, rte_flow_error_type as kind};
use std::ffi::{CStr, c_int};
use std::ptr::{NonNull, null};

/// What a driver fills in beside an error number.
pub(super) struct Refusal(rte_flow_error);

impl Refusal {
    pub(super) const fn new() -> Self {
        Refusal(rte_flow_error {
            type_: kind::RTE_FLOW_ERROR_TYPE_NONE,
            cause: null(),
            message: null(),
        })
    }

    pub(super) fn as_mut(&mut self) -> &mut rte_flow_error {
        &mut self.0
    }

    /// The result of a function that returns a negative error number.
    pub(super) fn check(&self, what: &str, rc: c_int) -> Result<c_int, Error> {
        if rc < 0 {
            return Err(self.error(what, -rc));
        }
        Ok(rc)
    }

    /// The result of a function that returns NULL and sets `rte_errno`.
    pub(super) fn pointer<T>(&self, what: &str, pointer: *mut T) -> Result<NonNull<T>, Error> {
        NonNull::new(pointer).ok_or_else(|| {
            // SAFETY: reads a thread-local variable; needs nothing.
            self.error(what, unsafe { dpdk_sys::evenpath_errno() })
        })
    }

    /// `what` failed with that number, which some drivers forget to set.
    fn error(&self, what: &str, errno: i32) -> Error {
        let errno = if errno > 0 { errno } else { Error::IO };
        let said = NonNull::new(self.0.message.cast_mut()).map(|message| {
            // SAFETY: a constant string of the driver (`struct rte_flow_error`), whose port is open.
            let text = unsafe { CStr::from_ptr(message.as_ptr()) };
            text.to_string_lossy().into_owned()
        });
        let about = name(self.0.type_);
        let said = said.unwrap_or_else(|| super::super::error::Errno(errno).to_string());
        Error::new(
            errno,
            match about {
                "" => format!("{what}: {said}"),
                about => format!("{what}: {about}: {said}"),
            },
        )
    }
}

/// What an error is about; nothing when the driver does not say.
const fn name(type_: kind::Type) -> &'static str {
    match type_ {
        kind::RTE_FLOW_ERROR_TYPE_HANDLE => "handle",
        kind::RTE_FLOW_ERROR_TYPE_ATTR_GROUP => "group",
        kind::RTE_FLOW_ERROR_TYPE_ATTR_PRIORITY => "priority",
        kind::RTE_FLOW_ERROR_TYPE_ATTR_INGRESS => "ingress",
        kind::RTE_FLOW_ERROR_TYPE_ATTR_EGRESS => "egress",
        kind::RTE_FLOW_ERROR_TYPE_ATTR_TRANSFER => "transfer",
        kind::RTE_FLOW_ERROR_TYPE_ATTR => "attributes",
        kind::RTE_FLOW_ERROR_TYPE_ITEM_NUM => "number of items",
        kind::RTE_FLOW_ERROR_TYPE_ITEM_SPEC => "value of an item",
        kind::RTE_FLOW_ERROR_TYPE_ITEM_LAST => "range of an item",
        kind::RTE_FLOW_ERROR_TYPE_ITEM_MASK => "mask of an item",
        kind::RTE_FLOW_ERROR_TYPE_ITEM => "item",
        kind::RTE_FLOW_ERROR_TYPE_ACTION_NUM => "number of actions",
        kind::RTE_FLOW_ERROR_TYPE_ACTION_CONF => "configuration of an action",
        kind::RTE_FLOW_ERROR_TYPE_ACTION => "action",
        kind::RTE_FLOW_ERROR_TYPE_STATE => "state of the device",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_it_is_about_and_what_the_driver_said() {
        let mut refusal = Refusal::new();
        assert_eq!(refusal.check("push", 3), Ok(3));
        let bare = refusal.check("push", -16).unwrap_err();
        assert_eq!(bare.to_string(), "push: busy (EBUSY) (errno 16)");
        assert!(bare.is_busy());
        refusal.as_mut().type_ = kind::RTE_FLOW_ERROR_TYPE_ITEM_MASK;
        refusal.as_mut().message = c"too wide".as_ptr();
        // SAFETY: writes a thread-local variable; needs nothing.
        unsafe { dpdk_sys::evenpath_set_errno(7) };
        let said = refusal.pointer::<u8>("table 3", std::ptr::null_mut());
        assert_eq!(
            said.unwrap_err(),
            Error::new(7, "table 3: mask of an item: too wide")
        );
        // SAFETY: as above.
        unsafe { dpdk_sys::evenpath_set_errno(0) };
        let silent = refusal.pointer::<u8>("table 3", std::ptr::null_mut());
        assert_eq!(silent.unwrap_err().errno, Error::IO);
    }
}
