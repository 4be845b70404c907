// SPDX-License-Identifier: Apache-2.0
#include <cublasLt.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>
#include <vector>

#include "core/error.h"
#include "kernels/matmul.h"

namespace ocoee::kernels::cuda {
namespace {

void check(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS)
    fail(ErrorKind::device, "cuBLASLt: {} failed: {}", call, cublasLtGetStatusString(status));
}

cudaDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::bf16:
      return CUDA_R_16BF;
    case DType::f16:
      return CUDA_R_16F;
    case DType::f32:
      return CUDA_R_32F;
    default:
      fail(ErrorKind::internal, "no matrix product on {}", name_of(dtype));
  }
}

cublasLtEpilogue_t epilogue_of(const Matmul& a) {
  switch (a.epilogue) {
    case Epilogue::bias:
      return CUBLASLT_EPILOGUE_BIAS;
    case Epilogue::gelu:
      if (!a.aux) return a.bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
      return a.bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX;
    case Epilogue::gelu_gradient:
      return CUBLASLT_EPILOGUE_DGELU;
    default:
      return CUBLASLT_EPILOGUE_DEFAULT;
  }
}

// What makes two products of one kind: all but the addresses.
using Key = std::tuple<int, DType, DType, int, int64_t, int64_t, int64_t, bool, bool, int, bool,
                       bool, bool, size_t, int, bool>;

Key key_of(const Matmul& a, const device::Stream& stream) {
  return {
      stream.device.index,
      a.dtype,
      a.d_dtype,
      8 * a.exact_sums +
          (a.float8 ? 1 + 2 * (a.a_format == Float8::e5m2) + 4 * (a.b_format == Float8::e5m2) : 0),
      a.m,
      a.n,
      a.k,
      a.a_transposed,
      a.b_transposed,
      static_cast<int>(epilogue_of(a)),
      a.c != nullptr,
      a.c == a.d,
      a.alpha != nullptr,
      a.workspace_bytes,
      a.left,
      a.measure};
}

// The library's description of a product, and the algorithm that was chosen for it.
class Plan {
 public:
  Plan(const Matmul& a, const device::Device& device) {
    check(cublasLtMatmulDescCreate(&operation_, CUBLAS_COMPUTE_32F, CUDA_R_32F), "describe");
    // Column-major, the product is d' = b' a': our b comes first.
    set(CUBLASLT_MATMUL_DESC_TRANSA, a.b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, a.a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(a));
    if (a.alpha)
      set(CUBLASLT_MATMUL_DESC_POINTER_MODE, static_cast<int32_t>(CUBLASLT_POINTER_MODE_DEVICE));
    if (a.epilogue == Epilogue::gelu || a.epilogue == Epilogue::gelu_gradient)
      set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, a.n);
    if (a.bias) set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, static_cast<int32_t>(type_of(a.dtype)));
    if (a.left > 0) {
      int all = 0;
      cudaDeviceGetAttribute(&all, cudaDevAttrMultiProcessorCount, device.index);
      set(CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET, static_cast<int32_t>(std::max(1, all - a.left)));
    }
    if (a.float8 && !a.exact_sums) set(CUBLASLT_MATMUL_DESC_FAST_ACCUM, static_cast<int8_t>(1));
    point_at(a);
    const auto lay_out = [](cublasLtMatrixLayout_t& layout, cudaDataType_t type, int64_t rows,
                            int64_t columns) {
      check(cublasLtMatrixLayoutCreate(&layout, type, static_cast<uint64_t>(rows),
                                       static_cast<uint64_t>(columns), rows),
            "lay out");
    };
    const auto operand = [&a](Float8 format) {
      if (!a.float8) return type_of(a.dtype);
      return format == Float8::e4m3 ? CUDA_R_8F_E4M3 : CUDA_R_8F_E5M2;
    };
    lay_out(first_, operand(a.b_format), a.b_transposed ? a.k : a.n, a.b_transposed ? a.n : a.k);
    lay_out(second_, operand(a.a_format), a.a_transposed ? a.m : a.k, a.a_transposed ? a.k : a.m);
    lay_out(result_, type_of(a.d_dtype), a.n, a.m);
  }
  ~Plan() {
    cublasLtMatmulDescDestroy(operation_);
    for (auto* layout : {first_, second_, result_}) cublasLtMatrixLayoutDestroy(layout);
  }
  Plan(const Plan&) = delete;

  // The addresses of this call.
  void point_at(const Matmul& a) {
    if (a.bias) set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, a.bias);
    if (a.aux) set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, a.aux);
    if (!a.float8) return;
    set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, a.b_inverse);
    set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, a.a_inverse);
  }

  std::vector<cublasLtMatmulAlgo_t> algorithms(cublasLtHandle_t handle, const Matmul& a,
                                               int most) const {
    cublasLtMatmulPreference_t preference;
    check(cublasLtMatmulPreferenceCreate(&preference), "prefer");
    cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                         &a.workspace_bytes, sizeof a.workspace_bytes);
    const uint32_t in_float32 = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    if (a.exact_sums && !a.float8)
      cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                           &in_float32, sizeof in_float32);
    std::vector<cublasLtMatmulHeuristicResult_t> found(static_cast<size_t>(most));
    int count = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle, operation_, first_, second_, result_, result_,
                                       preference, most, found.data(), &count);
    cublasLtMatmulPreferenceDestroy(preference);
    std::vector<cublasLtMatmulAlgo_t> out;
    if (status != CUBLAS_STATUS_SUCCESS) return out;
    for (int i = 0; i < count; ++i) {
      const auto& one = found[static_cast<size_t>(i)];
      if (one.state == CUBLAS_STATUS_SUCCESS) out.push_back(one.algo);
    }
    return out;
  }

  cublasStatus_t run(cublasLtHandle_t handle, const Matmul& a,
                     const cublasLtMatmulAlgo_t& algorithm, void* d, const float* device_numbers,
                     cudaStream_t stream) const {
    const float one = 1, zero = 0;
    const void* alpha = a.alpha ? a.alpha : &one;
    const void* beta = a.alpha ? (a.c ? device_numbers + 1 : device_numbers) : (a.c ? &one : &zero);
    return cublasLtMatmul(handle, operation_, alpha, a.b, first_, a.a, second_, beta,
                          a.c == a.d || !a.c ? d : a.c, result_, d, result_, &algorithm,
                          a.workspace, a.workspace_bytes, stream);
  }

  cublasLtMatmulAlgo_t chosen{};

 private:
  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    check(cublasLtMatmulDescSetAttribute(operation_, attribute, &value, sizeof value), "describe");
  }

  cublasLtMatmulDesc_t operation_ = nullptr;
  cublasLtMatrixLayout_t first_ = nullptr, second_ = nullptr, result_ = nullptr;
};

// Of one device; lives as long as the program.
struct Library {
  cublasLtHandle_t handle = nullptr;
  float* numbers = nullptr;                    // {0, 1} on the device
  std::map<Key, std::unique_ptr<Plan>> plans;  // null: the library has no such product
};

std::mutex mutex;

Library& library_of(const device::Device& device) {
  static std::map<int, Library> libraries;
  Library& library = libraries[device.index];
  if (!library.handle) {
    check(cublasLtCreate(&library.handle), "create");
    const float numbers[2] = {0, 1};
    if (cudaMalloc(reinterpret_cast<void**>(&library.numbers), sizeof numbers) != cudaSuccess ||
        cudaMemcpy(library.numbers, numbers, sizeof numbers, cudaMemcpyHostToDevice) != cudaSuccess)
      fail(ErrorKind::device, "cuBLASLt: no memory for two numbers on {}", name_of(device));
  }
  return library;
}

// The fastest of `algorithms` on the operands of this very call. A product that is added to its own
// result runs into scratch, so that it counts once. In a training step the card is at its limit of
// power, where the algorithm is quickest that takes the least energy, whatever it does on a cool
// card: the best few of a first round each run until their own clock has settled, and again.
class Contest {
 public:
  Contest(const Plan& plan, const Library& library, const Matmul& a, const device::Stream& stream)
      : plan_(plan), library_(library), a_(a), stream_(stream), d_(a.d) {
    if (a.c != a.d) return;
    scratch_ = device::Memory(static_cast<size_t>(a.m * a.n) * size_of(a.d_dtype),
                              device::Memory::Where::device, stream.device);
    d_ = scratch_.data();
    // What a card draws, and so its clock, hangs on the numbers.
    device::set_zero({d_, a.m * a.n, a.d_dtype, stream.device}, stream);
  }

  cublasLtMatmulAlgo_t winner(std::vector<cublasLtMatmulAlgo_t> algorithms) {
    const cublasLtMatmulAlgo_t first = algorithms[0];
    std::erase_if(algorithms, [this](const auto& algorithm) { return !run(algorithm); });
    if (algorithms.empty()) return first;
    return most_lasting(best_of(algorithms, /*rounds=*/2, /*most=*/4));
  }

 private:
  bool run(const cublasLtMatmulAlgo_t& algorithm) {
    return plan_.run(library_.handle, a_, algorithm, d_, library_.numbers,
                     static_cast<cudaStream_t>(stream_.handle)) == CUBLAS_STATUS_SUCCESS;
  }

  std::vector<cublasLtMatmulAlgo_t> best_of(const std::vector<cublasLtMatmulAlgo_t>& algorithms,
                                            int rounds, size_t most) {
    const size_t count = algorithms.size();
    std::vector<device::Event> marks;
    for (size_t i = 0; i <= count * static_cast<size_t>(rounds); ++i)
      marks.emplace_back(stream_.device, /*timing=*/true);
    marks[0].record(stream_);
    for (size_t i = 0; i + 1 < marks.size(); ++i) {
      run(algorithms[i % count]);
      marks[i + 1].record(stream_);
    }
    marks.back().synchronize();
    std::vector<std::pair<double, size_t>> order;  // median time, which
    for (size_t which = 0; which < count; ++which) {
      std::vector<double> times;
      for (size_t i = which; i + 1 < marks.size(); i += count)
        times.push_back(marks[i + 1].milliseconds_since(marks[i]));
      std::sort(times.begin(), times.end());
      order.emplace_back(times[(times.size() - 1) / 2], which);
    }
    std::sort(order.begin(), order.end());
    std::vector<cublasLtMatmulAlgo_t> best;
    for (size_t i = 0; i < std::min(most, count); ++i) best.push_back(algorithms[order[i].second]);
    return best;
  }

  // Milliseconds of a run in the second half of `milliseconds` of nothing else.
  double settled(const cublasLtMatmulAlgo_t& algorithm, double milliseconds) {
    device::Event begin(stream_.device, /*timing=*/true), middle(stream_.device, /*timing=*/true),
        end(stream_.device, /*timing=*/true);
    begin.record(stream_);
    run(algorithm);
    end.record(stream_);
    end.synchronize();
    const double once = std::max(1e-3, static_cast<double>(end.milliseconds_since(begin)));
    const int half = std::max(1, static_cast<int>(milliseconds / once / 2));
    for (int i = 0; i < half; ++i) run(algorithm);
    middle.record(stream_);
    for (int i = 0; i < half; ++i) run(algorithm);
    end.record(stream_);
    end.synchronize();
    return end.milliseconds_since(middle) / half;
  }

  cublasLtMatmulAlgo_t most_lasting(const std::vector<cublasLtMatmulAlgo_t>& algorithms) {
    if (algorithms.size() == 1) return algorithms[0];
    settled(algorithms[0], 2 * kSettling);  // the card warms up
    std::vector<double> sums(algorithms.size(), 0.0);
    for (int round = 0; round < 2; ++round)
      for (size_t i = 0; i < algorithms.size(); ++i) sums[i] += settled(algorithms[i], kSettling);
    return algorithms[static_cast<size_t>(std::min_element(sums.begin(), sums.end()) -
                                          sums.begin())];
  }

  static constexpr double kSettling = 100;  // ms in which a card under its limit finds its clock

  const Plan& plan_;
  const Library& library_;
  const Matmul& a_;
  const device::Stream stream_;
  device::Memory scratch_;
  void* d_;
};

}  // namespace

bool has_float8_products(const device::Device& device) {
  int major = 0, minor = 0;
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device.index);
  cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device.index);
  return major > 8 || (major == 8 && minor >= 9);
}

bool matmul(const Matmul& a, const device::Stream& stream) {
  const std::lock_guard lock(mutex);
  Library& library = library_of(stream.device);
  Matmul call = a;
  call.measure = a.measure && !device::capturing(stream);
  auto [entry, is_new] = library.plans.try_emplace(key_of(a, stream));
  if (is_new) {
    auto plan = std::make_unique<Plan>(call, stream.device);
    const auto algorithms = plan->algorithms(library.handle, call, call.measure ? 32 : 1);
    if (!algorithms.empty()) {
      plan->chosen =
          call.measure ? Contest(*plan, library, call, stream).winner(algorithms) : algorithms[0];
      entry->second = std::move(plan);
    }
  }
  if (!entry->second) return false;
  entry->second->point_at(a);
  const cublasStatus_t status =
      entry->second->run(library.handle, a, entry->second->chosen, a.d, library.numbers,
                         static_cast<cudaStream_t>(stream.handle));
  if (is_new && status == CUBLAS_STATUS_NOT_SUPPORTED) {  // it had an algorithm, but not for this
    entry->second.reset();
    return false;
  }
  check(status, "multiply");
  return true;
}

}  // namespace ocoee::kernels::cuda
