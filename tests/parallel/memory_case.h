// SPDX-License-Identifier: Apache-2.0
// The most bytes of tensors that a rank held while it trained two steps, beside what is planned.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>

#include "models/gpt.h"
#include "parallel/tensor_memory.h"
#include "plan/predict.h"
#include "train/update.h"

namespace ocoee::parallel {

struct MemoryCase {
  models::GptConfig model;
  int64_t vocabulary = 512;
  std::string shard = "none";
  std::string compute = "float32", gradients = "float32", moments = "float32", masters = "float32";
  int64_t samples = 1, micro_batches = 2, loss_chunks = 1;
};

struct MeasuredMemory {
  int64_t parameters = 0;
  plan::Prediction planned;
  int64_t peak = 0, resident = 0;  // bytes measured; resident: of the process, its most
  double states() const {
    return planned.of(plan::Held::parameters) + planned.of(plan::Held::gradients) +
           planned.of(plan::Held::masters) + planned.of(plan::Held::optimizer);
  }
};

// Of one of `ranks` that share what is split.
inline plan::Prediction planned_memory(const MemoryCase& c, const plan::ModelSpec& model,
                                       int64_t ranks, const device::Device& device) {
  plan::Workload workload;
  workload.model = model;
  workload.sequence = c.model.context;
  workload.global_batch = c.samples * c.micro_batches * ranks;
  workload.compute = c.compute, workload.gradients = c.gradients, workload.moments = c.moments,
  workload.masters = c.masters;
  workload.threads = at::get_num_threads();
  plan::Configuration layout;
  layout.data = ranks, layout.micro = c.samples, layout.shard = plan::shard_from_name(c.shard);
  plan::Machine machine = plan::unknown_machine();
  if (device.is_cuda()) machine.device.workspace = plan::load_machine("h200").device.workspace;
  return plan::Predictor(workload, plan::system_named("ocoee"), machine).predict(layout);
}

inline MeasuredMemory measure_memory(const MemoryCase& c, comm::Mesh& mesh) {
  const plan::ModelSpec model = models::build_gpt(c.model, c.vocabulary, c.loss_chunks);
  const device::Device device = mesh.device();
  MeasuredMemory out;
  count_tensor_memory();
  const int64_t before = tensor_memory(device).now;
  reset_tensor_peak(device);
  {
    EngineOptions options;
    options.precision = precision_from_name(c.compute, c.gradients, c.masters);
    options.shard = shard_from_name(c.shard);
    Engine engine(model, options, mesh);
    engine.initialize(1);
    plan::PrecisionConfig precision;
    precision.compute = c.compute, precision.moments = c.moments;
    optim::OptimizerConfig adamw;
    adamw.warmup_steps = 0;
    train::Update update("lm", engine, adamw, precision, 10);
    const auto tokens = at::arange(c.samples * (c.model.context + 1), at::kLong)
                            .remainder(c.vocabulary)
                            .view({c.samples, c.model.context + 1})
                            .to(torch_device(device));
    nn::Bundle batch;
    batch["tokens"] = tokens.narrow(1, 0, c.model.context).contiguous();
    batch["targets"] = tokens.narrow(1, 1, c.model.context).contiguous();
    engine.set_random_state(at::zeros({2}, tokens.options()));
    for (int64_t step = 0; step < 2; ++step) {
      engine.zero_gradients();
      for (int64_t m = 0; m < c.micro_batches; ++m) {
        auto pass = engine.forward(batch);
        nn::Bundle seed;
        seed["loss_sum"] = at::full({}, 1e-3, pass.output.at("loss_sum").options());
        engine.backward(pass, seed, m + 1 == c.micro_batches);
      }
      update.finish_gradients();
      update.prepare(step);
      update.apply();
    }
    device::synchronize(current_stream(device));
    out.parameters = model.parameters();
    out.planned = planned_memory(c, model, engine.weights().layout().ways(), device);
  }
  out.peak = tensor_memory(device).peak - before;
  out.resident = peak_resident_bytes();
  return out;
}

}  // namespace ocoee::parallel
