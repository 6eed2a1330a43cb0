// The matrix tiles (AMX) of the processor: the intrinsics, and whether this process may use them.
#pragma once

#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace fastcka::cpu {

// What was written there is in memory from here on: GCC's intrinsics do not say that they read it.
inline void make_visible(const void* written) { __asm__ volatile("" : : "r"(written) : "memory"); }

// Asks the kernel once for the state of the tiles: eight times as much to save at every switch of threads as without.
inline bool may_use_tiles() {
  static const bool granted = [] {
    unsigned eax = 0;
    unsigned ebx = 0;
    unsigned ecx = 0;
    unsigned edx = 0;
    constexpr unsigned amx_bf16 = 1U << 22;
    constexpr unsigned amx_tile = 1U << 24;
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
    if ((edx & amx_bf16) == 0 || (edx & amx_tile) == 0) return false;
    constexpr long request_permission = 0x1023;  // ARCH_REQ_XCOMP_PERM
    constexpr long tile_data = 18;
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
  }();
  return granted;
}

}  // namespace fastcka::cpu
