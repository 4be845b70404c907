// SPDX-License-Identifier: Apache-2.0
// The CUDA half of this room, behind plain types. device_cuda.cpp holds it; device_nocuda.cpp
// stands in where the program was built without CUDA and throws Error(device). Only device.cpp and
// graph.cpp call it, and only for CUDA devices.
#pragma once

#include <functional>

#include "device/device.h"

namespace ocoee::device::cuda {

bool built();
int device_count();
std::string unavailable_reason();
Properties properties(const Device& device);

void* allocate(size_t bytes, const Device& device);  // throws Error(memory)
void release(void* data, const Device& device);
void* allocate_pinned(size_t bytes);
void release_pinned(void* data);

void* create_event(const Device& device, bool timing);
void destroy_event(void* event);
void record(void* event, const Stream& stream);
void record_by_replays(void* event, const Stream& stream);
void wait(const Stream& stream, void* event);
bool done(void* event);
void synchronize_event(void* event);
double milliseconds_between(void* earlier, void* later);

void* create_stream(const Device& device, bool high_priority);
void destroy_stream(void* stream);
void synchronize_stream(const Stream& stream);
bool capturing(const Stream& stream);

void copy(void* to, const void* from, size_t bytes, const Stream& stream);
void set_zero(void* data, size_t bytes, const Stream& stream);

void* capture(const Stream& stream, const std::function<void()>& work);  // an executable graph
void launch(void* graph, const Stream& stream);
void destroy_graph(void* graph);

}  // namespace ocoee::device::cuda
