// SPDX-License-Identifier: Apache-2.0
// What is minimised. An objective names the models it updates and how often it runs in a cycle; it
// runs its models forward and backward on one micro-batch and returns sums, which the trainer
// divides by the weight of the whole step. A language model has one objective; a GAN has a critic's
// and a generator's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "data/source.h"
#include "parallel/engine.h"

namespace ocoee::train {

class Models {
 public:
  void add(std::string name, std::unique_ptr<parallel::Engine> engine) {
    items_.emplace_back(std::move(name), std::move(engine));
  }
  parallel::Engine& at(const std::string& name) {
    for (auto& [existing, engine] : items_) {
      if (existing == name) return *engine;
    }
    fail(ErrorKind::internal, "no model '{}'", name);
  }
  std::vector<std::pair<std::string, std::unique_ptr<parallel::Engine>>>& items() { return items_; }

 private:
  std::vector<std::pair<std::string, std::unique_ptr<parallel::Engine>>> items_;
};

struct MicroBatch {
  nn::Bundle fields;         // the source's fields, [samples, ...] each, on the compute device
  int64_t first_sample = 0;  // within the step's global batch
  bool last = false;         // gradients are final after it
  at::Tensor seed;  // scalar: the gradient of the whole step's mean loss with respect to a loss sum
};

struct Sums {       // scalars on the compute device, of this micro-batch
  at::Tensor loss;  // weighted sum; known once the backward pass is over
  at::Tensor weight;
};

class Objective {
 public:
  virtual ~Objective() = default;
  virtual std::string name() const = 0;
  virtual std::vector<std::string> updates() const = 0;  // models whose weights it moves
  virtual int64_t repeats() const { return 1; }          // in one cycle
  virtual double weight_per_sample()
      const = 0;  // so that the step's weight is known before it runs
  virtual Sums micro_batch(Models& models, const MicroBatch& batch) = 0;
  // All micro-batches of a step at once, for models in pipelines: sums of this rank, each with two
  // scalars; zero except on the last stage. Only called when a model is pipelined.
  virtual std::vector<Sums> pipeline(Models&, const std::vector<MicroBatch>&) {
    fail(ErrorKind::config, "layout.pipeline: '{}' does not run in a pipeline", name());
  }
};

// A model scored on a finite list of samples.
class Evaluation {
 public:
  virtual ~Evaluation() = default;
  virtual const data::EvaluationSource& source() const = 0;
  virtual Sums micro_batch(Models& models, const nn::Bundle& fields) = 0;
  virtual nlohmann::json metrics(double loss_sum,
                                 double weight_sum) const = 0;  // "loss", "bits_per_base", ...
  virtual std::string best_metric() const = 0;                  // lower is better
  // When training is over, on every rank: further fields of the summary, such as its "figures".
  virtual nlohmann::json at_end(Models&) { return nlohmann::json::object(); }
};

}  // namespace ocoee::train
