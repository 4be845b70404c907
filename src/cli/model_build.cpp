// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "cli/model.h"
#include "comm/world.h"
#include "core/error.h"
#include "device/device.h"
#include "parallel/engine.h"
#include "run/checkpoint.h"
#include "tasks/language/language_build.h"

namespace ocoee::cli {
namespace {

parallel::EngineOptions scoring_options(const tasks::LanguageConfig& config) {
  parallel::EngineOptions options;
  options.precision =
      parallel::precision_from_name(config.precision.compute == "float64" ? "float64" : "float32");
  return options;
}

device::Device chosen_device(const std::string& name) {
  if (name == "cpu") return {};
  if (device::cuda_device_count() > 0) return {device::Kind::cuda, 0};
  if (name == "cuda")
    fail(ErrorKind::device,
         "--device cuda, but {}\n    fix: use cpu or auto; `ocoee doctor` says more",
         device::cuda_unavailable_reason());
  return {};
}

class EngineModel final : public LanguageModel {
 public:
  EngineModel(const tasks::LanguageConfig& config, const std::filesystem::path& checkpoint,
              device::Device device)
      : world_(comm::World::alone()),
        mesh_(world_, comm::Shape{}, device),
        engine_(config.model_spec(), scoring_options(config), mesh_),
        device_(parallel::torch_device(device)),
        context_(config.model.context),
        vocabulary_(config.vocabulary()) {
    run::State state;
    state.arrays = engine_.weights().master_arrays("");
    run::load_checkpoint(checkpoint, state, *world_.host());
    engine_.weights().refresh_values();
  }

  int64_t context() const override { return context_; }
  int64_t vocabulary() const override { return vocabulary_; }

  std::vector<float> logits(const std::vector<int64_t>& tokens, int64_t rows,
                            bool only_last) override {
    at::Tensor out = run(on_device(tokens, rows));
    if (only_last) out = out.select(1, out.size(1) - 1);
    out = out.to(at::kFloat).to(at::kCPU).contiguous();
    return {out.data_ptr<float>(), out.data_ptr<float>() + out.numel()};
  }

  std::vector<double> log_likelihoods(const std::vector<int64_t>& tokens, int64_t rows) override {
    const at::Tensor all = on_device(tokens, rows);
    const int64_t length = all.size(1) - 1;
    const at::Tensor logits = run(all.narrow(1, 0, length).contiguous());
    const at::Tensor next = all.narrow(1, 1, length).unsqueeze(2);
    at::Tensor out = logits.gather(2, next).squeeze(2).to(at::kDouble) -
                     at::logsumexp(logits, {2}).to(at::kDouble);
    out = out.to(at::kCPU).contiguous();
    return {out.data_ptr<double>(), out.data_ptr<double>() + out.numel()};
  }

 private:
  at::Tensor on_device(const std::vector<int64_t>& tokens, int64_t rows) const {
    const auto count = static_cast<int64_t>(tokens.size());
    OCOEE_CHECK(rows > 0 && count % rows == 0, "{} tokens in {} rows", count, rows);
    return at::from_blob(const_cast<int64_t*>(tokens.data()), {rows, count / rows}, at::kLong)
        .clone()
        .to(device_);
  }
  at::Tensor run(const at::Tensor& tokens) {
    const at::NoGradGuard no_grad;
    OCOEE_CHECK(tokens.size(1) <= context_, "{} tokens for a context of {}", tokens.size(1),
                context_);
    nn::Bundle batch;
    batch["tokens"] = tokens;
    return engine_.evaluate(batch).at("logits");
  }

  comm::World world_;
  comm::Mesh mesh_;
  parallel::Engine engine_;
  at::Device device_;
  int64_t context_, vocabulary_;
};

}  // namespace

std::unique_ptr<LanguageModel> load_language_model(const tasks::LanguageConfig& config,
                                                   const std::filesystem::path& checkpoint,
                                                   const std::string& device) {
  return std::make_unique<EngineModel>(config, checkpoint, chosen_device(device));
}

}  // namespace ocoee::cli
