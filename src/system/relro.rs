//! RELRO: what only the start of the program writes is read-only from then on.
//!
//! The addresses in a position-independent executable, its tables of functions among them, are
//! filled in as it starts. Whoever came to write memory would write there. glibc makes them
//! read-only by itself; musl does not, in a static executable.

// No safe function can do this: it ends the process if something still writes there.
#![allow(unsafe_code)]

use libc::{Elf64_Phdr, PT_GNU_RELRO, c_int, c_void, dl_iterate_phdr, dl_phdr_info, size_t};
use rustix::io::Errno;
use rustix::mm::{MprotectFlags, mprotect};
use rustix::param::page_size;
use std::ptr::{from_mut, with_exposed_provenance_mut};
use std::slice;

/// Makes the part of the executable read-only that its header PT_GNU_RELRO names, in whole pages
/// (elf(5)). That it is so already does no harm.
///
/// # Errors
/// The kernel's. An executable without that header has nothing to protect.
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
    // SAFETY: these pages are the executable's own, and the linker has put nothing else into them than
    // what is written before `main` alone.
    unsafe {
        mprotect(
            with_exposed_provenance_mut(start),
            length,
            MprotectFlags::READ,
        )
    }
}

/// Addresses in memory, the end not included.
struct Segment {
    start: usize,
    end: usize,
}

/// For dl_iterate_phdr: the first object that it comes to is the executable, and the last that is
/// looked at.
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
