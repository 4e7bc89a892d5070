//! The few system calls that load and floor are made of, and nothing between them and the kernel.
//! All unsafe code of the instruments is here.

pub mod epoll;
pub mod machine;
pub mod socket;
