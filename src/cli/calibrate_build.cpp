// SPDX-License-Identifier: Apache-2.0
// The device's own speed, by the calls that layers make.
#include <ATen/Parallel.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <numeric>
#include <utility>

#include "cli/calibrate_stopwatch_build.h"
#include "kernels/activation.h"
#include "kernels/cross_entropy.h"
#include "kernels/dropout.h"
#include "kernels/matmul.h"
#include "kernels/reduce.h"
#include "nn/fused_attention.h"
#include "nn/products.h"
#include "parallel/tensor_memory.h"

namespace ocoee::cli {
namespace {

double bytes_of(const at::TensorOptions& options, int64_t elements) {
  return static_cast<double>(elements) * static_cast<double>(options.dtype().itemsize());
}

double linear_bytes(const at::TensorOptions& options, int64_t rows, int64_t out, int64_t in) {
  return bytes_of(options, rows * in + rows * out + out * in);
}

// A linear layer's three products: forward, gradient of the input, gradient of the weight.
double linear_seconds(const Stopwatch& watch, const at::TensorOptions& options, int64_t rows,
                      int64_t out, int64_t in) {
  const bool wide = options.dtype() == at::kDouble;
  const auto master = options.dtype(wide ? at::kDouble : at::kFloat);
  const int64_t sets = watch.sets(linear_bytes(options, rows, out, in));
  const Tensors x = many(sets, {rows, in}, options), g = many(sets, {rows, out}, options),
                w = many(sets, {out, in}, options), w_gradient = many(sets, {out, in}, master);
  const auto at = [](const Tensors& all, int64_t set) { return all[static_cast<size_t>(set)]; };
  return watch.seconds(sets, [&](int64_t i) { return nn::product(at(x, i), at(w, i)); }) +
         watch.seconds(sets,
                       [&](int64_t i) { return nn::product_input_gradient(at(g, i), at(w, i)); }) +
         watch.seconds(sets, [&](int64_t i) {
           nn::product_weight_gradient(at(g, i), at(x, i), at(w_gradient, i), {}, true);
           return at::Tensor();
         });
}

// Shapes of a transformer's linear layers: rows of tokens, width out, width in.
std::vector<Sample> measure_products(const Stopwatch& watch, const at::TensorOptions& options,
                                     bool gpu, bool whole_curve) {
  std::vector<std::array<int64_t, 3>> shapes;
  if (gpu)
    shapes = {{1024, 256, 256},    {2048, 512, 512},    {4096, 768, 768},   {4096, 2304, 768},
              {8192, 1024, 1024},  {8192, 4096, 1024},  {8192, 3072, 1536}, {8192, 8192, 2048},
              {16384, 4096, 4096}, {16384, 16384, 4096}};
  else
    shapes = {{64, 32, 32},     {128, 64, 64},     {256, 96, 96},
              {256, 384, 96},   {512, 160, 160},   {512, 640, 160},
              {1024, 320, 320}, {1024, 1280, 320}, {2048, 640, 640}};
  std::vector<Sample> out;
  if (!whole_curve) shapes.erase(shapes.begin(), shapes.end() - 2);
  for (const auto& [rows, n, k] : shapes) {
    const double flops = 2.0 * static_cast<double>(rows * n * k);
    out.push_back({flops, linear_seconds(watch, options, rows, n, k) / 3, flops,
                   linear_bytes(options, rows, n, k)});
  }
  return out;
}

// The same, of wide models on few rows: too few tiles for all of a GPU's processors, and weight
// gradients that are more memory than arithmetic.
std::vector<Sample> measure_few_products(const Stopwatch& watch, const at::TensorOptions& options,
                                         int64_t rows) {
  std::vector<Sample> out;
  for (const auto& [n, k] : {std::pair<int64_t, int64_t>{256, 256},
                             {1024, 1024},
                             {3072, 1024},
                             {4096, 1024},
                             {6144, 1536},
                             {8192, 2048},
                             {16384, 4096}}) {
    const double flops = 2.0 * static_cast<double>(rows * n * k);
    out.push_back({flops, linear_seconds(watch, options, rows, n, k) / 3});
  }
  return out;
}

struct AttentionSeconds {
  Sample both;  // of heads of `head`, FLOPs of the full matrix, forward and backward
  double forward = 0, backward = 0;
};

AttentionSeconds attention_seconds(const Stopwatch& watch, const at::TensorOptions& options,
                                   int64_t tokens, int64_t length, int64_t width, int64_t head) {
  const int64_t batch = std::max<int64_t>(1, tokens / length), heads = width / head;
  const int64_t sets = watch.sets(static_cast<double>(batch * length * 5 * width) *
                                  static_cast<double>(options.dtype().itemsize()));
  const Tensors qkv = many(sets, {batch, length, 3 * heads, head}, options),
                g = many(sets, {batch, length, heads, head}, options);
  std::vector<nn::AttentionSaved> saved(static_cast<size_t>(sets));
  const auto part = [&](const at::Tensor& t, int64_t i) { return t.narrow(2, i * heads, heads); };
  AttentionSeconds out;
  out.forward = watch.seconds(sets, [&](int64_t set) {
    const at::Tensor& all = qkv[static_cast<size_t>(set)];
    return nn::attention_forward(part(all, 0), part(all, 1), part(all, 2), true,
                                 &saved[static_cast<size_t>(set)]);
  });
  for (int64_t set = 0; set < sets; ++set) {  // a graph's results belong to the graph
    const at::Tensor& all = qkv[static_cast<size_t>(set)];
    nn::attention_forward(part(all, 0), part(all, 1), part(all, 2), true,
                          &saved[static_cast<size_t>(set)]);
  }
  out.backward = watch.seconds(sets, [&](int64_t set) {
    const auto i = static_cast<size_t>(set);
    at::Tensor gradient = at::empty_like(qkv[i]);
    nn::attention_backward(g[i], part(qkv[i], 0), part(qkv[i], 1), part(qkv[i], 2), true, saved[i],
                           part(gradient, 0), part(gradient, 1), part(gradient, 2));
    return gradient;
  });
  out.both = {static_cast<double>(head), out.forward + out.backward,
              12.0 * static_cast<double>(batch * length * length * width),
              bytes_of(options, batch * length * 12 * width)};
  return out;
}

void measure_attentions(const Stopwatch& watch, const at::TensorOptions& options, bool gpu,
                        const std::string& type, DeviceFigures& figures) {
  const int64_t tokens = gpu ? 16384 : 256, width = gpu ? 1024 : 128, middle = gpu ? 1024 : 256;
  for (const int64_t head : {32, 64, 128})
    figures.attentions[type].push_back(
        attention_seconds(watch, options, tokens, middle, width, head).both);
  for (int64_t length = middle / 8; length <= middle * 4; length *= 2) {
    const AttentionSeconds s = attention_seconds(watch, options, tokens, length, width, 64);
    figures.lengths.push_back(
        {static_cast<double>(length), s.both.seconds, s.both.work, s.both.moved});
    if (length == middle) figures.attention_backward = s.backward / s.forward;
  }
  for (int64_t samples = 1; gpu && samples <= tokens / middle; samples *= 2) {
    const AttentionSeconds s =
        attention_seconds(watch, options, samples * middle, middle, width, 64);
    figures.rows.push_back(
        {static_cast<double>(samples * middle * (width / 64)), s.both.seconds, s.both.work});
  }
}

// Seconds an element of a GELU and of its gradient: passes of their own on a CPU.
void measure_activation_passes(const Stopwatch& watch, const at::TensorOptions& options,
                               int64_t rows, DeviceFigures& figures) {
  const int64_t inner = 512;
  const auto elements = static_cast<double>(rows * inner);
  const int64_t sets = watch.sets(2 * elements * static_cast<double>(options.dtype().itemsize()));
  const Tensors before = many(sets, {rows, inner}, options),
                dx = many(sets, {rows, inner}, options);
  for (const at::Tensor& argument : before)
    argument.abs_().add_(3);  // gradients that stay in range
  const at::Tensor sums = at::zeros({inner}, options);
  kernels::Gelu a;
  a.dtype = nn::dtype_of(options.dtype().toScalarType());
  a.rows = rows, a.width = inner;
  const at::Tensor space =
      nn::workspace(kernels::column_sum_workspace(a.dtype, rows, inner, nn::place_of(sums)), sums);
  figures.activation = watch.seconds(sets, [&](int64_t set) {
    return nn::gelu_of(before[static_cast<size_t>(set)]);
  }) / elements;
  figures.activation_gradient = watch.seconds(sets, [&](int64_t set) {
    kernels::Gelu call = a;
    call.x = before[static_cast<size_t>(set)].data_ptr();
    call.dy = call.out = dx[static_cast<size_t>(set)].data_ptr();
    call.d_bias = sums.data_ptr();
    call.workspace = space.data_ptr();
    kernels::gelu_backward(call, nn::current_stream(nn::place_of(sums)));
    return at::Tensor();
  }) / elements;
}

// On a GPU what stands beside a product is the difference to the product alone.
void measure_activation(const Stopwatch& watch, const at::TensorOptions& options, int64_t rows,
                        DeviceFigures& figures) {
  const int64_t inner = 512, thin = 8;
  const auto elements = static_cast<double>(rows * inner);
  const int64_t sets = watch.sets(elements * static_cast<double>(options.dtype().itemsize()));
  const Tensors x = many(sets, {rows, thin}, options), up = many(sets, {inner, thin}, options),
                down = many(sets, {thin, inner}, options), g = many(sets, {rows, thin}, options);
  Tensors before = many(sets, {rows, inner}, options);
  const at::Tensor sums = at::zeros({inner}, options.dtype(at::kFloat));
  const auto of = [&](const Call& with, const Call& without) {
    return std::max(0.0, watch.seconds(sets, with) - watch.seconds(sets, without)) / elements;
  };
  figures.activation = of(
      [&](int64_t set) {
        const auto i = static_cast<size_t>(set);
        at::Tensor argument;
        return nn::product_gelu(x[i], up[i], {}, &argument);
      },
      [&](int64_t set) {
        return nn::product(x[static_cast<size_t>(set)], up[static_cast<size_t>(set)]);
      });
  figures.activation_gradient = of(
      [&](int64_t set) {
        const auto i = static_cast<size_t>(set);
        return nn::product_input_gradient_gelu(g[i], down[i], before[i], sums);
      },
      [&](int64_t set) {
        const auto i = static_cast<size_t>(set);
        return nn::product_input_gradient(g[i], down[i]);
      });
}

double loss_seconds(const Stopwatch& watch, const at::TensorOptions& options, int64_t rows,
                    int64_t vocabulary, const device::Device& device) {
  const auto elements = static_cast<double>(rows * vocabulary);
  const int64_t sets = watch.sets(elements * static_cast<double>(options.dtype().itemsize()));
  const Tensors logits = many(sets, {rows, vocabulary}, options);
  const at::Tensor targets = at::zeros({rows}, options.dtype(at::kLong));
  return watch.seconds(sets, [&](int64_t set) {
    const at::Tensor losses = at::empty({rows}, options.dtype(at::kFloat));
    kernels::CrossEntropy a;
    a.dtype = nn::dtype_of(options.dtype().toScalarType());
    a.rows = rows;
    a.columns = a.row_stride = vocabulary;
    a.logits = logits[static_cast<size_t>(set)].data_ptr();
    a.targets = targets.data_ptr<int64_t>();
    a.losses = losses.data_ptr();
    a.gradient = true;
    kernels::cross_entropy(a, nn::current_stream(device));
    return losses;
  }) / elements;
}

double random_rate(const Stopwatch& watch, const at::TensorOptions& options, int64_t width,
                   const device::Device& device) {
  const at::Tensor x = at::randn({64, width}, options), y = at::empty_like(x);
  const at::Tensor state = at::zeros({2}, options.dtype(at::kLong));
  kernels::Dropout dropout;
  dropout.rows = x.size(0), dropout.width = x.size(1);
  dropout.probability = 0.1, dropout.seed = 1;
  dropout.state = state.data_ptr<int64_t>();
  dropout.x = x.data_ptr(), dropout.y = y.data_ptr();
  return static_cast<double>(x.numel()) / watch.seconds(1, [&](int64_t) {
    kernels::dropout(dropout, nn::current_stream(device));
    return at::Tensor();
  });
}

// The plainest of passes, on two arrays of a set; what a call of it costs whatever its size is
// taken off.
std::vector<Sample> measure_reuse(const Stopwatch& watch, const at::TensorOptions& options) {
  constexpr int64_t kElements = int64_t{1} << 16, kMostSets = 512;
  const Tensors from = many(kMostSets, {kElements}, options),
                to = many(kMostSets, {kElements}, options);
  const auto seconds = [&](int64_t sets, int64_t elements) {
    return watch.seconds(sets, [&](int64_t set) {
      const auto i = static_cast<size_t>(set);
      at::Tensor target = to[i].narrow(0, 0, elements);
      at::neg_out(target, from[i].narrow(0, 0, elements));
      return at::Tensor();
    });
  };
  const double call = seconds(1, 16), bytes = bytes_of(options, 2 * kElements);
  std::vector<Sample> out;
  for (int64_t sets = 2; sets <= kMostSets; sets *= 2) {
    const double spent = seconds(sets, kElements);
    out.push_back({static_cast<double>(sets) * bytes, std::max(spent - call, spent / 2), bytes});
  }
  return out;
}

DeviceFigures measure_once(const device::Device& device, bool quick) {
  const bool gpu = device.is_cuda();
  const Stopwatch watch(device, quick);
  const auto options = at::TensorOptions().device(nn::torch_device(device));
  DeviceFigures figures;
  const std::string main = gpu ? "bfloat16" : "float32";
  for (const auto& [name, type] : {std::pair<const char*, at::ScalarType>{"float32", at::kFloat},
                                   {"bfloat16", at::kBFloat16},
                                   {"float16", at::kHalf},
                                   {"float64", at::kDouble}}) {
    if (!gpu && type == at::kHalf) continue;
    figures.products[name] = measure_products(watch, options.dtype(type), gpu, name == main);
    if (name != main) continue;
    measure_attentions(watch, options.dtype(type), gpu, name, figures);
    if (!gpu) continue;
    figures.few_tokens = 1024;
    figures.few_products = measure_few_products(watch, options.dtype(type), figures.few_tokens);
  }
  for (double bytes = 1e5; bytes < (gpu ? 2e9 : 3e8); bytes *= gpu ? 10 : 8) {
    const auto count = static_cast<int64_t>(bytes / 8);
    const int64_t sets = watch.far_sets(bytes);
    const Tensors from = many(sets, {count}, options), to = many(sets, {count}, options);
    figures.streams.push_back({bytes, watch.seconds(sets, [&](int64_t set) {
                                 const auto i = static_cast<size_t>(set);
                                 at::Tensor target = to[i];
                                 at::neg_out(target, from[i]);  // a kernel, as layers' passes are
                                 return at::Tensor();
                               })});
  }
  const auto computing = options.dtype(gpu ? at::kBFloat16 : at::kFloat);
  if (!gpu) figures.reuse = measure_reuse(watch, computing);
  const int64_t rows = gpu ? 16384 : 256;
  gpu ? measure_activation(watch, computing, rows, figures)
      : measure_activation_passes(watch, computing, rows, figures);
  measure_layers(watch, computing, gpu, figures);
  figures.loss = loss_seconds(watch, computing, gpu ? 8192 : 256, gpu ? 32768 : 1024, device);
  const at::Tensor small = at::zeros({16}, options);
  figures.launch = watch.seconds(100, [&](int64_t) { return small.add(1); });
  figures.random = random_rate(watch, options, gpu ? 1 << 20 : 1 << 14, device);
  return figures;
}

// Of two visits the quicker one counts: what else a machine does only makes it slower.
void keep_quicker(std::vector<Sample>& samples, const std::vector<Sample>& again) {
  for (size_t i = 0; i < samples.size(); ++i)
    samples[i].seconds = std::min(samples[i].seconds, again[i].seconds);
}

// Plans count launches apart.
void take_off_launches(std::vector<Sample>& samples, double seconds) {
  for (Sample& sample : samples)
    sample.seconds = std::max(sample.seconds - seconds, sample.seconds / 2);
}

// And what moves operands, where that is known.
void take_off_memory(std::vector<Sample>& samples, const std::vector<Sample>& reuse) {
  for (Sample& sample : samples) {
    const double moving = sample.moved * seconds_a_byte(reuse, sample.moved);
    sample.seconds = std::max(sample.seconds - moving, sample.seconds / 2);
  }
}

void take_off_memory(DeviceFigures& figures) {
  for (auto& [type, samples] : figures.products) take_off_memory(samples, figures.reuse);
  for (auto& [type, samples] : figures.attentions) take_off_memory(samples, figures.reuse);
  take_off_memory(figures.lengths, figures.reuse);
  // Bytes of an element of float32, of operands that stay in the nearest cache.
  const double byte = seconds_a_byte(figures.reuse, 0);
  for (const auto& [seconds, bytes] : {std::pair{&DeviceFigures::activation, 8},
                                       {&DeviceFigures::activation_gradient, 12},
                                       {&DeviceFigures::norm, 8},
                                       {&DeviceFigures::norm_gradient, 16},
                                       {&DeviceFigures::loss, 8}})
    figures.*seconds = std::max(0.0, figures.*seconds - bytes * byte);
}

double host_memory() {
  return static_cast<double>(::sysconf(_SC_PHYS_PAGES)) *
         static_cast<double>(::sysconf(_SC_PAGE_SIZE));
}

}  // namespace

DeviceFigures measure_device(const device::Device& device, int threads, bool quick) {
  const at::NoGradGuard no_grad;
  parallel::count_tensor_memory();  // what tensors free stays here, as in a run
  if (threads > 0) at::set_num_threads(threads);
  DeviceFigures figures = measure_once(device, quick);
  const DeviceFigures again = quick ? figures : measure_once(device, quick);
  for (auto& [type, samples] : figures.products) keep_quicker(samples, again.products.at(type));
  for (auto& [type, samples] : figures.attentions) keep_quicker(samples, again.attentions.at(type));
  keep_quicker(figures.few_products, again.few_products);
  keep_quicker(figures.lengths, again.lengths);
  keep_quicker(figures.rows, again.rows);
  keep_quicker(figures.streams, again.streams);
  keep_quicker(figures.reuse, again.reuse);
  for (double DeviceFigures::*seconds :
       {&DeviceFigures::activation, &DeviceFigures::activation_gradient, &DeviceFigures::norm,
        &DeviceFigures::norm_gradient, &DeviceFigures::loss, &DeviceFigures::launch})
    figures.*seconds = std::min(figures.*seconds, again.*seconds);
  for (auto& [kind, seconds] : figures.fixed) {
    seconds.forward = std::min(seconds.forward, again.fixed.at(kind).forward);
    seconds.backward = std::min(seconds.backward, again.fixed.at(kind).backward);
  }
  figures.random = std::max(figures.random, again.random);
  take_off_memory(figures);
  for (auto& [type, samples] : figures.products) take_off_launches(samples, figures.launch);
  for (auto& [type, samples] : figures.attentions) take_off_launches(samples, 2 * figures.launch);
  take_off_launches(figures.few_products, figures.launch);
  take_off_launches(figures.lengths, 2 * figures.launch);
  take_off_launches(figures.rows, 2 * figures.launch);
  take_off_launches(figures.streams, figures.launch);
  const bool gpu = device.is_cuda();
  figures.memory =
      gpu ? static_cast<double>(device::properties(device).memory_bytes) : host_memory();
  if (gpu) figures.workspace = static_cast<double>(kernels::kMatmulWorkspace);
  return figures;
}

OverlapFigures measure_overlap(comm::Mesh& mesh, comm::Communicator& group, Beside beside) {
  constexpr int kLayers = 16;
  constexpr int64_t kRows = 16384, kOut = 4096, kIn = 1024, kBucket = int64_t{8} << 20;
  const at::NoGradGuard no_grad;
  const device::Device device = mesh.device();
  const parallel::StreamScope scope(device);
  const auto options = at::TensorOptions().device(nn::torch_device(device)).dtype(at::kBFloat16);
  const at::Tensor x = at::randn({kRows, kIn}, options), g = at::randn({kRows, kOut}, options),
                   w = at::randn({kOut, kIn}, options),
                   into = at::zeros({kOut, kIn}, options.dtype(at::kFloat)),
                   bucket = at::zeros({kLayers, kBucket}, options.dtype(at::kFloat));
  const device::Stream stream = nn::current_stream(device);
  // What a backward pass does: the gradients of a layer, then its bucket leaves.
  const int neighbour = group.rank() ^ 1;
  const auto step = [&](bool products, bool reductions, bool message) {
    std::vector<comm::WorkHandle> under_way;
    message = message && neighbour < group.size();
    nn::leave_multiprocessors(reductions || message ? mesh.shape().message_multiprocessors : 0);
    const device::Buffer sent = nn::buffer_of(bucket[0]);
    // Sent before the products, and taken by the other side after its own.
    if (message && group.rank() < neighbour)
      under_way.push_back(group.send_async(sent, neighbour, stream));
    for (int layer = 0; layer < kLayers; ++layer) {
      for (int i = 0; products && i < 2; ++i) {
        nn::product_input_gradient(g, w);
        nn::product_weight_gradient(g, x, into, {}, true);
      }
      if (!reductions) continue;
      const device::Buffer whole = nn::buffer_of(bucket[layer]);
      if (beside == Beside::sums) {
        under_way.push_back(group.all_reduce_async(whole, comm::Reduce::sum, stream));
      } else {
        const int64_t piece = kBucket / group.size();
        const device::Buffer own = whole.slice(piece * group.rank(), piece);
        under_way.push_back(group.reduce_scatter_async(whole, own, comm::Reduce::sum, stream));
        under_way.push_back(group.all_gather_async(own, whole, stream));
      }
    }
    if (message && group.rank() > neighbour) group.receive(sent, neighbour, stream);
    for (const comm::WorkHandle& work : under_way) work->wait(stream);
    nn::leave_multiprocessors(0);
  };
  const auto seconds = [&](bool products, bool reductions, bool message) {
    // As long as it takes until the limit of power is felt, which work side by side meets first.
    std::vector<double> times;
    for (double whole = 0; whole < 0.6 || times.size() < 8;) {
      device::synchronize(stream);
      mesh.world().barrier();
      const auto begin = std::chrono::steady_clock::now();
      step(products, reductions, message);
      device::synchronize(stream);
      const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin;
      const double slowest = mesh.world().all_reduce_value(spent.count(), comm::Reduce::max);
      times.push_back(slowest);
      whole += slowest;
    }
    const auto last_quarter = times.begin() + static_cast<int64_t>(3 * times.size() / 4);
    return std::accumulate(last_quarter, times.end(), 0.0) /
           static_cast<double>(times.end() - last_quarter);
  };
  const double alone = seconds(true, false, false);
  const double reduced = seconds(false, true, false), sent = seconds(false, false, true);
  return {std::max(0.0, seconds(true, true, false) - alone) / reduced,
          std::max(0.0, seconds(true, false, true) - alone - sent) / alone};
}

}  // namespace ocoee::cli
