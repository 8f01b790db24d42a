//! RELRO: relocated data becomes read-only after startup. We apply it ourselves.
//!
//! The relocations of a position-independent executable, tables of function pointers among them,
//! are applied at startup, and are a target for an attacker who can write memory. glibc makes them
//! read-only; musl does not do so in a static executable.

// There is no safe function for this: a later write there ends the process.
#![allow(unsafe_code)]

use libc::{Elf64_Phdr, PT_GNU_RELRO, c_int, c_void, dl_iterate_phdr, dl_phdr_info, size_t};
use rustix::io::Errno;
use rustix::mm::{MprotectFlags, mprotect};
use rustix::param::page_size;
use std::ptr::{from_mut, with_exposed_provenance_mut};
use std::slice;

/// Makes the segment PT_GNU_RELRO of the executable (elf(5)) read-only, in whole pages. It may be
/// read-only already, or absent.
///
/// # Errors
/// Those of mprotect(2).
pub(crate) fn protect() -> Result<(), Errno> {
    let mut found: Option<Segment> = None;
    // SAFETY: the function below takes what dl_iterate_phdr(3) gives it, and `found`, which outlives
    // the call.
    unsafe { dl_iterate_phdr(Some(of_the_executable), from_mut(&mut found).cast()) };
    let Some(Segment { start, end }) = found else {
        return Ok(());
    };
    let pages = |address: usize| address & !page_size().wrapping_sub(1);
    let (start, end) = (pages(start), pages(end));
    let length = end.saturating_sub(start);
    // SAFETY: these pages belong to the executable, and the linker places only data there that is not
    // written after startup.
    unsafe {
        mprotect(
            with_exposed_provenance_mut(start),
            length,
            MprotectFlags::READ,
        )
    }
}

/// A range of addresses; `end` is excluded.
struct Segment {
    start: usize,
    end: usize,
}

/// A callback for dl_iterate_phdr. The first object is the executable; it stops there.
unsafe extern "C" fn of_the_executable(
    object: *mut dl_phdr_info,
    _size: size_t,
    found: *mut c_void,
) -> c_int {
    // SAFETY: `object` is valid during this call, its headers as long as the executable is mapped, and
    // `found` is what `protect` gave.
    let (base, headers, found) = unsafe {
        let object = &*object;
        let count = usize::from(object.dlpi_phnum);
        let headers: &[Elf64_Phdr] = slice::from_raw_parts(object.dlpi_phdr, count);
        (
            object.dlpi_addr,
            headers,
            &mut *found.cast::<Option<Segment>>(),
        )
    };
    *found = headers
        .iter()
        .find(|header| header.p_type == PT_GNU_RELRO)
        .and_then(|header| {
            let start = base.checked_add(header.p_vaddr)?;
            let end = start.checked_add(header.p_memsz)?;
            Some(Segment {
                start: usize::try_from(start).ok()?,
                end: usize::try_from(end).ok()?,
            })
        });
    1
}
