// SPDX-License-Identifier: Apache-2.0
// Stands in for device_cuda.cpp where the program was built without CUDA.
#include "core/error.h"
#include "device/cuda_calls.h"

namespace ocoee::device::cuda {
namespace {

[[noreturn]] void no_cuda(const std::string& what) {
  fail(ErrorKind::device,
       "{} is asked for, but {}\n    fix: set run.device = \"cpu\", or build with ./dev cuda", what,
       unavailable_reason());
}

}  // namespace

bool built() {
  return false;
}
int device_count() {
  return 0;
}
std::string unavailable_reason() {
  return "this program was built without CUDA";
}
Properties properties(const Device& device) {
  no_cuda(name_of(device));
}

void* allocate(size_t, const Device& device) {
  no_cuda(name_of(device));
}
void release(void*, const Device&) {}
void* allocate_pinned(size_t) {
  no_cuda("pinned host memory");
}
void release_pinned(void*) {}

void* create_event(const Device& device, bool) {
  no_cuda(name_of(device));
}
void destroy_event(void*) {}
void record(void*, const Stream& stream) {
  no_cuda(name_of(stream.device));
}
void record_by_replays(void*, const Stream& stream) {
  no_cuda(name_of(stream.device));
}
void wait(const Stream& stream, void*) {
  no_cuda(name_of(stream.device));
}
bool done(void*) {
  no_cuda("a CUDA event");
}
void synchronize_event(void*) {
  no_cuda("a CUDA event");
}
double milliseconds_between(void*, void*) {
  no_cuda("a CUDA event");
}

void* create_stream(const Device& device, bool) {
  no_cuda(name_of(device));
}
void destroy_stream(void*) {}
void synchronize_stream(const Stream& stream) {
  no_cuda(name_of(stream.device));
}
bool capturing(const Stream&) {
  return false;
}

void copy(void*, const void*, size_t, const Stream& stream) {
  no_cuda(name_of(stream.device));
}
void set_zero(void*, size_t, const Stream& stream) {
  no_cuda(name_of(stream.device));
}

void* capture(const Stream& stream, const std::function<void()>&) {
  no_cuda(name_of(stream.device));
}
void launch(void*, const Stream& stream) {
  no_cuda(name_of(stream.device));
}
void destroy_graph(void*) {}

}  // namespace ocoee::device::cuda
