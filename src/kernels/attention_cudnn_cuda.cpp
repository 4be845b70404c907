// SPDX-License-Identifier: Apache-2.0
#include <cuda_runtime.h>
#include <cudnn_frontend.h>

#include <map>
#include <memory>
#include <mutex>
#include <tuple>
#include <unordered_map>

#include "core/error.h"
#include "kernels/attention.h"

namespace ocoee::kernels::cuda {
namespace {

namespace fe = cudnn_frontend;
using TensorHandle = std::shared_ptr<fe::graph::Tensor_attributes>;

enum Id : int64_t { kQ = 1, kK, kV, kOut, kLogSumExp, kDOut, kDQ, kDK, kDV };

using Strides = std::array<int64_t, 3>;
using Key = std::tuple<int, bool, DType, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, bool,
                       double, bool, bool, bool, std::array<Strides, 8>>;

Key key_of(const Attention& a, bool backward, const device::Stream& stream) {
  return {stream.device.index,
          backward,
          a.dtype,
          a.batch,
          a.length,
          a.keys,
          a.heads,
          a.kv_heads,
          a.head_dim,
          a.causal,
          a.scale,
          a.deterministic,
          a.measure,
          a.log_sum_exp != nullptr,
          {a.q.strides, a.k.strides, a.v.strides, a.out.strides, a.d_out.strides, a.d_q.strides,
           a.d_k.strides, a.d_v.strides}};
}

// The library's graph of one shape, with the plan it chose.
struct Plan {
  fe::graph::Graph graph;
  int64_t workspace = 0;
  bool to_be_timed = false;
};

TensorHandle input(fe::graph::Graph& graph, Id id, const Attention& a, const HeadsView& view,
                   int64_t heads, int64_t length) {
  return graph.tensor(fe::graph::Tensor_attributes()
                          .set_uid(id)
                          .set_dim({a.batch, heads, length, a.head_dim})
                          .set_stride({view.strides[0], view.strides[2], view.strides[1], 1}));
}

void output(const TensorHandle& tensor, Id id, const Attention& a, const HeadsView& view,
            int64_t heads, int64_t length) {
  tensor->set_output(true)
      .set_uid(id)
      .set_dim({a.batch, heads, length, a.head_dim})
      .set_stride({view.strides[0], view.strides[2], view.strides[1], 1});
}

std::vector<int64_t> statistics_shape(const Attention& a) {
  return {a.batch, a.heads, a.length, 1};
}
std::vector<int64_t> statistics_strides(const Attention& a) {
  return {a.heads * a.length, a.length, 1, 1};
}

void add_forward(fe::graph::Graph& graph, const Attention& a) {
  auto attributes = fe::graph::SDPA_attributes()
                        .set_name("attention")
                        .set_generate_stats(a.log_sum_exp != nullptr)
                        .set_attn_scale(static_cast<float>(a.scale))
                        .set_causal_mask(a.causal);
  auto [out, statistics] = graph.sdpa(input(graph, kQ, a, a.q, a.heads, a.length),
                                      input(graph, kK, a, a.k, a.kv_heads, a.keys),
                                      input(graph, kV, a, a.v, a.kv_heads, a.keys), attributes);
  output(out, kOut, a, a.out, a.heads, a.length);
  if (!a.log_sum_exp) return;
  statistics->set_output(true)
      .set_uid(kLogSumExp)
      .set_data_type(fe::DataType_t::FLOAT)
      .set_dim(statistics_shape(a))
      .set_stride(statistics_strides(a));
}

void add_backward(fe::graph::Graph& graph, const Attention& a) {
  const TensorHandle statistics = graph.tensor(fe::graph::Tensor_attributes()
                                                   .set_uid(kLogSumExp)
                                                   .set_data_type(fe::DataType_t::FLOAT)
                                                   .set_dim(statistics_shape(a))
                                                   .set_stride(statistics_strides(a)));
  auto attributes = fe::graph::SDPA_backward_attributes()
                        .set_name("attention_backward")
                        .set_attn_scale(static_cast<float>(a.scale))
                        .set_causal_mask(a.causal)
                        .set_deterministic_algorithm(a.deterministic);
  auto [d_q, d_k, d_v] = graph.sdpa_backward(
      input(graph, kQ, a, a.q, a.heads, a.length), input(graph, kK, a, a.k, a.kv_heads, a.keys),
      input(graph, kV, a, a.v, a.kv_heads, a.keys), input(graph, kOut, a, a.out, a.heads, a.length),
      input(graph, kDOut, a, a.d_out, a.heads, a.length), statistics, attributes);
  output(d_q, kDQ, a, a.d_q, a.heads, a.length);
  output(d_k, kDK, a, a.d_k, a.kv_heads, a.keys);
  output(d_v, kDV, a, a.d_v, a.kv_heads, a.keys);
}

// Of one device; lives as long as the program.
struct Library {
  cudnnHandle_t handle = nullptr;
  std::map<Key, std::unique_ptr<Plan>> plans;  // null: the library has no kernel for it
};

std::mutex mutex;

Library& library_of(const device::Device& device) {
  static std::map<int, Library> libraries;
  Library& library = libraries[device.index];
  if (!library.handle && cudnnCreate(&library.handle) != CUDNN_STATUS_SUCCESS)
    fail(ErrorKind::device, "cuDNN cannot be used on {}", name_of(device));
  return library;
}

// Null where the library has no kernel.
Plan* plan_of(const Attention& a, bool backward, const device::Stream& stream) {
  Library& library = library_of(stream.device);
  auto [entry, is_new] = library.plans.try_emplace(key_of(a, backward, stream));
  if (!is_new) return entry->second.get();
  auto plan = std::make_unique<Plan>();
  plan->graph
      .set_io_data_type(a.dtype == DType::bf16 ? fe::DataType_t::BFLOAT16 : fe::DataType_t::HALF)
      .set_intermediate_data_type(fe::DataType_t::FLOAT)
      .set_compute_data_type(fe::DataType_t::FLOAT);
  if (backward) {
    add_backward(plan->graph, a);
  } else {
    add_forward(plan->graph, a);
  }
  const auto policy =
      a.measure ? fe::BuildPlanPolicy_t::ALL : fe::BuildPlanPolicy_t::HEURISTICS_CHOICE;
  if (plan->graph.build(library.handle, {fe::HeurMode_t::A}, policy).is_bad()) return nullptr;
  plan->to_be_timed = a.measure;
  plan->workspace =
      a.measure ? plan->graph.get_autotune_workspace_size() : plan->graph.get_workspace_size();
  entry->second = std::move(plan);
  return entry->second.get();
}

void run(const Attention& a, bool backward, const device::Stream& stream,
         std::unordered_map<int64_t, void*> arrays) {
  const std::lock_guard lock(mutex);
  Plan* plan = plan_of(a, backward, stream);
  OCOEE_CHECK(plan, "attention without a plan: attention_workspace() says where there is none");
  const cudnnHandle_t handle = library_of(stream.device).handle;
  cudnnSetStream(handle, static_cast<cudaStream_t>(stream.handle));
  if (plan->to_be_timed && !device::capturing(stream)) {
    // Orders the plans by their times; a failure leaves the first one.
    std::ignore = plan->graph.autotune(handle, arrays, a.workspace);
    plan->workspace = plan->graph.get_workspace_size();
    plan->to_be_timed = false;
  }
  auto status = plan->graph.execute(handle, arrays, a.workspace);
  if (status.is_bad()) fail(ErrorKind::device, "cuDNN: attention failed: {}", status.get_message());
}

}  // namespace

int64_t attention_workspace(const Attention& a, bool backward, const device::Stream& stream) {
  const std::lock_guard lock(mutex);
  const Plan* plan = plan_of(a, backward, stream);
  return plan ? plan->workspace : -1;
}

void attention_forward(const Attention& a, const device::Stream& stream) {
  std::unordered_map<int64_t, void*> arrays{
      {kQ, a.q.data}, {kK, a.k.data}, {kV, a.v.data}, {kOut, a.out.data}};
  if (a.log_sum_exp) arrays[kLogSumExp] = a.log_sum_exp;
  run(a, false, stream, std::move(arrays));
}

void attention_backward(const Attention& a, const device::Stream& stream) {
  run(a, true, stream,
      {{kQ, a.q.data},
       {kK, a.k.data},
       {kV, a.v.data},
       {kOut, a.out.data},
       {kLogSumExp, a.log_sum_exp},
       {kDOut, a.d_out.data},
       {kDQ, a.d_q.data},
       {kDK, a.d_k.data},
       {kDV, a.d_v.data}});
}

}  // namespace ocoee::kernels::cuda
