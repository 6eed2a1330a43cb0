// How a long call looks after Python: signals and progress.
#pragma once

#include <pybind11/gil_safe_call_once.h>
#include <pybind11/pybind11.h>

#include "hsic.hpp"

namespace fastcka {

// To be made with the GIL and called without it, on the thread that made it. `progress` may be None; it must outlive
// the poll.
//
// Only the main thread handles signals. Another thread takes the GIL only to report progress: a daemon thread that
// waits for the GIL while the interpreter shuts down is ended there, and the process with it.
inline Poll make_poll(const pybind11::object& progress) {
  PYBIND11_CONSTINIT static pybind11::gil_safe_call_once_and_store<pybind11::object> main_thread;
  main_thread.call_once_and_store_result(
      [] { return pybind11::object(pybind11::module_::import("threading").attr("main_thread")); });
  const pybind11::object main_ident = main_thread.get_stored()().attr("ident");
  const bool on_main_thread = main_ident.equal(pybind11::int_(PyThread_get_thread_ident()));
  return [&progress, wanted = on_main_thread || !progress.is_none()](std::int64_t done, std::int64_t total) {
    if (!wanted) return;
    const pybind11::gil_scoped_acquire hold;
    if (PyErr_CheckSignals() != 0) throw pybind11::error_already_set();
    if (total > 0 && !progress.is_none()) progress(done, total);
  };
}

}  // namespace fastcka
