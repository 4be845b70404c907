// SPDX-License-Identifier: Apache-2.0
// Where bytes live and work runs: the host, or one GPU. A thin layer, so that rooms without torch
// can own device memory, order work with streams and events, and capture graphs. Every call has a
// CPU twin: host streams run work at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "core/dtype.h"

namespace ocoee::device {

enum class Kind : uint8_t { cpu, cuda };

struct Device {
  Kind kind = Kind::cpu;
  int index = 0;  // of the GPU among those visible to the process
  bool is_cuda() const { return kind == Kind::cuda; }
  bool operator==(const Device&) const = default;
};
std::string name_of(const Device& device);  // "cpu", "cuda:0"

// A view of contiguous elements; owns nothing.
struct Buffer {
  void* data = nullptr;
  int64_t count = 0;  // elements
  DType dtype = DType::f32;
  Device device;
  size_t bytes() const { return static_cast<size_t>(count) * size_of(dtype); }
  Buffer slice(int64_t first, int64_t n) const {
    return {static_cast<char*>(data) + static_cast<size_t>(first) * size_of(dtype), n, dtype,
            device};
  }
};

// An opaque cudaStream_t (null on the CPU). Torch rooms pass torch's own streams in.
struct Stream {
  void* handle = nullptr;
  Device device;
};

struct Properties {
  std::string name;
  std::string id;  // of this very GPU, wherever it is seen from; "" for the CPU
  size_t memory_bytes = 0;
  int compute_major = 0, compute_minor = 0, multiprocessors = 0;
};

bool built_with_cuda();
int cuda_device_count();  // 0 when there is no driver, no GPU, or no CUDA in the build; `why` says
                          // which
std::string cuda_unavailable_reason();
Properties properties(const Device& device);  // throws Error(device)

// Owned memory: pageable or pinned host memory, or device memory. On a CPU device all three are
// host memory. Throws Error(memory).
class Memory {
 public:
  enum class Where : uint8_t { host, pinned, device };
  Memory() = default;
  Memory(size_t bytes, Where where, Device device);
  ~Memory();
  Memory(Memory&& other) noexcept;
  Memory& operator=(Memory&& other) noexcept;
  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  Device device() const;  // of the bytes: cpu for host and pinned memory

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
  Where where_ = Where::host;
  Device device_;
};

class Event {
 public:
  explicit Event(Device device, bool timing = false);
  ~Event();
  Event(Event&& other) noexcept;
  Event& operator=(Event&& other) noexcept;
  void record(const Stream& stream);
  // The same; while a graph is captured: by each of its replays, for which the event must live.
  void record_by_replays(const Stream& stream);
  void wait_on(const Stream& stream) const;  // the stream waits; the host does not
  bool done() const;
  void synchronize() const;  // the host waits; counted in host_waits()
  double milliseconds_since(const Event& earlier) const;

 private:
  void* handle_ = nullptr;
  Device device_;
};

class OwnedStream {
 public:
  explicit OwnedStream(Device device, bool high_priority = false);
  ~OwnedStream();
  OwnedStream(const OwnedStream&) = delete;
  Stream view() const { return stream_; }

 private:
  Stream stream_;
};

// Asynchronous on CUDA (pinned host memory to overlap), immediate on the CPU.
void copy(void* to, Device to_device, const void* from, Device from_device, size_t bytes,
          const Stream& stream);
void set_zero(const Buffer& buffer, const Stream& stream);
void synchronize(const Stream& stream);  // counted in host_waits()
bool capturing(const Stream& stream);    // into a CUDA graph, now

// How often the host has waited for a device since the program began: a training step must not move
// it.
int64_t host_waits();

// Work captured once on a stream and replayed. On the CPU replay() calls the recorded function
// again.
class Graph {
 public:
  Graph();
  ~Graph();
  Graph(Graph&&) noexcept;
  void capture(const Stream& stream,
               const std::function<void()>& work);  // CUDA: records without running
  void replay(const Stream& stream);
  bool captured() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ocoee::device
