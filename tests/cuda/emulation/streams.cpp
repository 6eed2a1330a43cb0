// Streams, events and graphs.
//
// A stream runs its work only when a caller waits for it. In the order "forward", only the awaited work runs, so that a
// stream which should have waited for another one finds its input missing. In the order "reverse", all other streams
// run first, as far as their events allow, so that a stream which should have waited overwrites data before they are
// read. The legacy stream runs its work at once.

#include <algorithm>
#include <deque>
#include <memory>
#include <vector>

#include "runtime.hpp"

using cuda_emulation::call;
using cuda_emulation::current_device;
using cuda_emulation::readiness;
using cuda_emulation::Work;

namespace {

// A point in the work of a stream, as recorded by an event.
struct Record {
  cudaStream_t stream;
  bool done = false;
};

struct Operation {
  Work work;
  std::shared_ptr<Record> after;   // not before this is done
  std::shared_ptr<Record> record;  // done with this operation
};

}  // namespace

struct CUgraph_st {
  std::vector<Work> nodes;
};

struct CUgraphExec_st : CUgraph_st {};

struct CUstream_st {
  int device = 0;
  bool blocking = true;  // takes turns with the legacy stream
  std::deque<Operation> queue;
  std::unique_ptr<CUgraph_st> capture;
  bool invalidated = false;  // the capture met a call that cannot be captured
};

struct CUevent_st {
  int device = 0;
  std::shared_ptr<Record> record;
};

namespace {

std::vector<std::unique_ptr<CUstream_st>> streams;
CUstream_st legacy;

// Null for an unknown handle.
cudaStream_t find(cudaStream_t handle) {
  if (handle == nullptr || handle == reinterpret_cast<cudaStream_t>(1)) return &legacy;
  const auto match = std::find_if(streams.begin(), streams.end(), [&](const auto& s) { return s.get() == handle; });
  return match == streams.end() ? nullptr : handle;
}

bool step(CUstream_st& stream) {
  if (stream.queue.empty()) return false;
  if (stream.queue.front().after && !stream.queue.front().after->done) return false;
  const Operation operation = std::move(stream.queue.front());
  stream.queue.pop_front();
  if (operation.work) operation.work();
  if (operation.record) operation.record->done = true;
  return true;
}

// Runs one operation before the record.
void advance(const Record& record) {
  const auto order = cuda_emulation::order_setting();
  if (order != cuda_emulation::Order::forward) {
    for (const std::size_t at : cuda_emulation::arrange(order, streams.size())) {
      const bool wanted = streams[at].get() == record.stream && order == cuda_emulation::Order::reverse;
      if (!wanted && step(*streams[at])) return;
    }
  }
  cudaStream_t stream = record.stream;
  while (!step(*stream)) stream = stream->queue.front().after->stream;
}

cudaError_t finish(const Record& record) {
  while (!record.done && readiness() == cudaSuccess) advance(record);
  return readiness();
}

cudaError_t finish(CUstream_st& stream) {
  const auto end = std::make_shared<Record>(Record{&stream});
  stream.queue.push_back({{}, nullptr, end});
  return finish(*end);
}

cudaError_t finish_blocking_streams() {
  for (const auto& stream : streams) {
    if (stream->blocking && finish(*stream) != cudaSuccess) break;
  }
  return readiness();
}

int device_of(cudaStream_t stream) { return stream == &legacy ? current_device() : stream->device; }

// Finds a stream for what cannot be captured.
cudaError_t find_idle(cudaStream_t& stream) {
  stream = find(stream);
  if (!stream) return cudaErrorInvalidResourceHandle;
  if (!stream->capture) return cudaSuccess;
  stream->invalidated = true;
  return cudaErrorStreamCaptureUnsupported;
}

bool capturing_blocks_legacy() {
  return std::any_of(streams.begin(), streams.end(), [](const auto& s) { return s->blocking && s->capture; });
}

}  // namespace

namespace cuda_emulation {

bool is_capturing(cudaStream_t stream) {
  const std::lock_guard<std::recursive_mutex> alone(device_mutex());
  stream = find(stream);
  return stream && stream->capture;
}

cudaError_t synchronize(cudaStream_t stream) {
  const cudaError_t error = find_idle(stream);
  if (error != cudaSuccess) return error;
  return stream == &legacy ? finish_blocking_streams() : finish(*stream);
}

bool is_here(cudaStream_t stream) {
  const std::lock_guard<std::recursive_mutex> alone(device_mutex());
  stream = find(stream);
  return stream && device_of(stream) == current_device();
}

// Drops the waiting work.
void reset_streams() {
  for (const auto& stream : streams) {
    for (const Operation& operation : stream->queue) {
      if (operation.record) operation.record->done = true;
    }
  }
  streams.clear();
}

cudaError_t enqueue(cudaStream_t handle, Work work) {
  return call([&] {
    const cudaStream_t stream = find(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (stream->capture) {
      stream->capture->nodes.push_back(std::move(work));
    } else if (stream != &legacy) {
      stream->queue.push_back({std::move(work), nullptr, nullptr});
    } else if (capturing_blocks_legacy()) {
      return cudaErrorStreamCaptureImplicit;
    } else if (finish_blocking_streams() == cudaSuccess) {
      work();
    }
    return readiness();
  });
}

}  // namespace cuda_emulation

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return call([&] {
    if (flags != cudaStreamDefault && flags != cudaStreamNonBlocking) return cudaErrorInvalidValue;
    streams.push_back(std::make_unique<CUstream_st>());
    *stream = streams.back().get();
    (*stream)->device = current_device();
    (*stream)->blocking = flags == cudaStreamDefault;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return call([&] {
    if (find(stream) != stream || stream == nullptr) return cudaErrorInvalidResourceHandle;
    const cudaError_t error = finish(*stream);
    streams.erase(std::find_if(streams.begin(), streams.end(), [&](const auto& s) { return s.get() == stream; }));
    return error;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return call([&] { return cuda_emulation::synchronize(stream); });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  return call([&] {
    *event = new CUevent_st{current_device(), nullptr};
    return cudaSuccess;
  });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return call([&] {
    const cudaError_t error = find_idle(stream);
    if (error != cudaSuccess) return error;
    if (event->device != device_of(stream)) return cudaErrorInvalidResourceHandle;
    event->record = std::make_shared<Record>(Record{stream});
    if (stream == &legacy) {
      event->record->done = true;
      return finish_blocking_streams();
    }
    stream->queue.push_back({{}, nullptr, event->record});
    return cudaSuccess;
  });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return call([&] {
    if (!event->record || event->record->done) return cudaSuccess;
    advance(*event->record);
    return readiness() == cudaSuccess ? cudaErrorNotReady : readiness();
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return call([&] { return event->record ? finish(*event->record) : cudaSuccess; });
}

// As in CUDA, the wait is for the latest record of the event so far.
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return call([&] {
    const cudaError_t error = find_idle(stream);
    if (error != cudaSuccess || !event->record) return error;
    if (stream == &legacy) return finish(*event->record);
    stream->queue.push_back({{}, event->record, nullptr});
    return cudaSuccess;
  });
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  return call([&] {
    stream = find(stream);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (stream == &legacy) return cudaErrorStreamCaptureUnsupported;
    if (stream->capture) return cudaErrorIllegalState;
    stream->capture = std::make_unique<CUgraph_st>();
    stream->invalidated = false;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  return call([&] {
    stream = find(stream);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (!stream->capture) return cudaErrorIllegalState;
    const std::unique_ptr<CUgraph_st> captured = std::move(stream->capture);
    if (stream->invalidated) return cudaErrorStreamCaptureInvalidated;
    *graph = new CUgraph_st(*captured);
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  return call([&] {
    *executable = new CUgraphExec_st{*graph};
    return cudaSuccess;
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  return call([&] {
    for (const Work& node : executable->nodes) {
      const cudaError_t error = cuda_emulation::enqueue(stream, node);
      if (error != cudaSuccess) return error;
    }
    return cudaSuccess;
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}
