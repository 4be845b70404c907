// SPDX-License-Identifier: Apache-2.0
#include <cuda_runtime_api.h>

#include <exception>

#include "core/error.h"
#include "device/cuda_calls.h"

namespace ocoee::device::cuda {
namespace {

void check(cudaError_t code, const char* what) {
  if (code == cudaSuccess) return;
  cudaGetLastError();  // a sticky error stays; any other must not surface at the next innocent call
  const ErrorKind kind = code == cudaErrorMemoryAllocation ? ErrorKind::memory : ErrorKind::device;
  fail(kind, "CUDA: {} failed: {} ({})", what, cudaGetErrorString(code), cudaGetErrorName(code));
}

// The calling thread's current device, for the length of a call.
class OnDevice {
 public:
  explicit OnDevice(const Device& device) {
    check(cudaGetDevice(&before_), "cudaGetDevice");
    if (device.index != before_) check(cudaSetDevice(device.index), "cudaSetDevice");
    moved_ = device.index != before_;
  }
  ~OnDevice() {
    if (moved_) cudaSetDevice(before_);
  }
  OnDevice(const OnDevice&) = delete;

 private:
  int before_ = 0;
  bool moved_ = false;
};

cudaStream_t stream_of(const Stream& stream) {
  return static_cast<cudaStream_t>(stream.handle);
}
cudaEvent_t event_of(void* event) {
  return static_cast<cudaEvent_t>(event);
}

}  // namespace

bool built() {
  return true;
}

int device_count() {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  cudaGetLastError();
  return 0;
}

std::string unavailable_reason() {
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  cudaGetLastError();
  if (code == cudaSuccess && count > 0) return "";
  if (code == cudaErrorInsufficientDriver) {
    return "the NVIDIA driver is missing or older than this program's CUDA runtime";
  }
  if (code == cudaSuccess || code == cudaErrorNoDevice) {
    return "no GPU is visible to this process (nvidia-smi, CUDA_VISIBLE_DEVICES, srun --gpus)";
  }
  return std::string("CUDA does not start: ") + cudaGetErrorString(code);
}

Properties properties(const Device& device) {
  const int count = device_count();
  if (device.index < 0 || device.index >= count) {
    fail(ErrorKind::device,
         "{} is asked for, but {}\n    fix: set run.device = \"cpu\", or make a GPU visible",
         name_of(device),
         count == 0 ? unavailable_reason() : fmt::format("this process sees {} GPUs", count));
  }
  cudaDeviceProp prop{};
  check(cudaGetDeviceProperties(&prop, device.index), "cudaGetDeviceProperties");
  Properties p;
  p.name = prop.name;
  for (const char byte : prop.uuid.bytes)
    p.id += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  p.memory_bytes = prop.totalGlobalMem;
  p.compute_major = prop.major;
  p.compute_minor = prop.minor;
  p.multiprocessors = prop.multiProcessorCount;
  return p;
}

void* allocate(size_t bytes, const Device& device) {
  const OnDevice on(device);
  void* data = nullptr;
  const cudaError_t code = cudaMalloc(&data, bytes == 0 ? 1 : bytes);
  if (code == cudaErrorMemoryAllocation) {
    size_t free_bytes = 0, total = 0;
    cudaGetLastError();
    cudaMemGetInfo(&free_bytes, &total);
    fail(ErrorKind::memory, "{} could not give {} bytes: {} of {} are free", name_of(device), bytes,
         free_bytes, total);
  }
  check(code, "cudaMalloc");
  return data;
}

void release(void* data, const Device&) {
  cudaFree(data);
}

void* allocate_pinned(size_t bytes) {
  void* data = nullptr;
  check(cudaHostAlloc(&data, bytes == 0 ? 1 : bytes, cudaHostAllocPortable),
        "cudaHostAlloc of pinned memory");
  return data;
}

void release_pinned(void* data) {
  cudaFreeHost(data);
}

void* create_event(const Device& device, bool timing) {
  const OnDevice on(device);
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, timing ? cudaEventDefault : cudaEventDisableTiming),
        "cudaEventCreate");
  return event;
}

void destroy_event(void* event) {
  cudaEventDestroy(event_of(event));
}

void record(void* event, const Stream& stream) {
  const OnDevice on(stream.device);
  check(cudaEventRecord(event_of(event), stream_of(stream)), "cudaEventRecord");
}

void record_by_replays(void* event, const Stream& stream) {
  const OnDevice on(stream.device);
  const unsigned flags = cuda::capturing(stream) ? cudaEventRecordExternal : cudaEventRecordDefault;
  check(cudaEventRecordWithFlags(event_of(event), stream_of(stream), flags),
        "cudaEventRecordWithFlags");
}

void wait(const Stream& stream, void* event) {
  check(cudaStreamWaitEvent(stream_of(stream), event_of(event), 0), "cudaStreamWaitEvent");
}

bool done(void* event) {
  // The watchdog's thread asks too, while another thread may be capturing a graph in the strict
  // mode that forbids it.
  cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
  check(cudaThreadExchangeStreamCaptureMode(&mode), "cudaThreadExchangeStreamCaptureMode");
  const cudaError_t code = cudaEventQuery(event_of(event));
  cudaThreadExchangeStreamCaptureMode(&mode);
  if (code == cudaErrorNotReady) {
    cudaGetLastError();
    return false;
  }
  check(code, "cudaEventQuery");
  return true;
}

void synchronize_event(void* event) {
  check(cudaEventSynchronize(event_of(event)), "cudaEventSynchronize");
}

double milliseconds_between(void* earlier, void* later) {
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, event_of(earlier), event_of(later)),
        "cudaEventElapsedTime");
  return milliseconds;
}

void* create_stream(const Device& device, bool high_priority) {
  const OnDevice on(device);
  int least = 0, greatest = 0;
  check(cudaDeviceGetStreamPriorityRange(&least, &greatest), "cudaDeviceGetStreamPriorityRange");
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking,
                                     high_priority ? greatest : least),
        "cudaStreamCreate");
  return stream;
}

void destroy_stream(void* stream) {
  cudaStreamDestroy(static_cast<cudaStream_t>(stream));
}

void synchronize_stream(const Stream& stream) {
  const OnDevice on(stream.device);
  check(cudaStreamSynchronize(stream_of(stream)), "cudaStreamSynchronize");
}

bool capturing(const Stream& stream) {
  const OnDevice on(stream.device);
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  const cudaError_t code = cudaStreamIsCapturing(stream_of(stream), &status);
  if (code ==
      cudaErrorStreamCaptureImplicit) {  // the legacy stream, asked while another stream captures
    cudaGetLastError();
    return false;
  }
  check(code, "cudaStreamIsCapturing");
  return status != cudaStreamCaptureStatusNone;
}

void copy(void* to, const void* from, size_t bytes, const Stream& stream) {
  const OnDevice on(stream.device);
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream_of(stream)), "cudaMemcpyAsync");
}

void set_zero(void* data, size_t bytes, const Stream& stream) {
  const OnDevice on(stream.device);
  check(cudaMemsetAsync(data, 0, bytes, stream_of(stream)), "cudaMemsetAsync");
}

void* capture(const Stream& stream, const std::function<void()>& work) {
  OCOEE_CHECK(stream.handle != nullptr,
              "CUDA's default stream cannot be captured; use a stream of its own");
  const OnDevice on(stream.device);
  check(cudaStreamBeginCapture(stream_of(stream), cudaStreamCaptureModeThreadLocal),
        "cudaStreamBeginCapture");
  std::exception_ptr thrown;
  try {
    work();
  } catch (...) {
    thrown = std::current_exception();
  }
  cudaGraph_t graph = nullptr;
  const cudaError_t ended = cudaStreamEndCapture(stream_of(stream), &graph);
  if (thrown) {
    cudaGetLastError();
    if (graph) cudaGraphDestroy(graph);
    std::rethrow_exception(thrown);
  }
  check(ended, "cudaStreamEndCapture");
  cudaGraphExec_t executable = nullptr;
  const cudaError_t made = cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphDestroy(graph);
  check(made, "cudaGraphInstantiate");
  return executable;
}

void launch(void* graph, const Stream& stream) {
  const OnDevice on(stream.device);
  check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), stream_of(stream)), "cudaGraphLaunch");
}

void destroy_graph(void* graph) {
  cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph));
}

}  // namespace ocoee::device::cuda
