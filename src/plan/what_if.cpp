// SPDX-License-Identifier: Apache-2.0
#include "plan/what_if.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace ocoee::plan {
namespace {

class Varier {
 public:
  Varier(const Workload& workload, const System& system, const Machine& machine,
         const Configuration& configuration)
      : workload_(workload), system_(system), machine_(machine), now_(configuration) {}

  WhatIf weak() const {
    WhatIf w{"weak", "Weak scaling", "devices",
             "The batch grows with the devices; the model is split as in the plan."};
    w.series.push_back(over_data("tokens a second and device", true, now_));
    w.x_now = static_cast<double>(now_.devices());
    return w;
  }
  WhatIf strong() const {
    WhatIf w{"strong", "Strong scaling", "devices",
             "The batch stays; more replicas have fewer micro-batches each."};
    w.series.push_back(over_data("tokens a second and device", false, now_));
    w.x_now = static_cast<double>(now_.devices());
    return w;
  }
  WhatIf sequence() const {
    WhatIf w{"sequence", "Length of a sample", "tokens",
             "The same model and layout on longer samples, as many samples a step."};
    w.series.push_back(over_sequence("planned", system_));
    w.x_now = static_cast<double>(workload_.sequence);
    return w;
  }
  WhatIf attention() const {
    WhatIf w{"attention", "Fused attention", "tokens of a sample",
             "Without it, scores go through memory; so the longer the sample, the more it saves."};
    System whole = system_;
    whole.fused_attention = false;
    System fused = system_;
    fused.fused_attention = true;
    w.series.push_back(over_sequence("fused", fused));
    w.series.push_back(over_sequence("scores in memory", whole));
    w.x_now = static_cast<double>(workload_.sequence);
    return w;
  }
  WhatIf batch() const {
    WhatIf w{"batch", "Samples of a step", "samples",
             "More micro-batches share what a step does once, and fill a pipeline better."};
    WhatIfSeries series{"planned", {}};
    for (const double factor : {0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0}) {
      Workload changed = workload_;
      changed.global_batch =
          static_cast<int64_t>(std::llround(static_cast<double>(workload_.global_batch) * factor));
      add(series, static_cast<double>(changed.global_batch), changed, system_, now_);
    }
    w.series.push_back(series);
    w.x_now = static_cast<double>(workload_.global_batch);
    return w;
  }
  WhatIf tensor() const {
    WhatIf w{"tensor", "Tensor ranks", "tensor ranks",
             "Replicas and stages stay, so devices grow with the ranks. Each layer waits for its "
             "tensor group: within a package, a node, or across nodes."};
    WhatIfSeries series{"planned", {}};
    for (int64_t t = 1; t <= 4 * machine_.node.devices; t *= 2) {
      Configuration c = now_;
      c.tensor = t;
      add(series, static_cast<double>(t), workload_, system_, c);
    }
    w.series.push_back(series);
    w.x_now = static_cast<double>(now_.tensor);
    return w;
  }
  WhatIf pipeline() const {
    WhatIf w{"pipeline", "Pipeline stages", "stages",
             "The batch and the replicas stay, so devices grow with the stages and the bubble "
             "with them; with the batch grown alike it does not. By 1f1b."};
    WhatIfSeries fixed{"batch as it is", {}}, grown{"batch grown with the stages", {}};
    Configuration plain = now_;
    plain.schedule = ScheduleKind::one_f_one_b;
    plain.chunks = 1;
    for (int64_t p = 1; p <= static_cast<int64_t>(workload_.model.blocks.size()); p *= 2) {
      Configuration c = plain;
      c.pipeline = p;
      add(fixed, static_cast<double>(p), workload_, system_, c);
      Workload changed = workload_;
      changed.global_batch = workload_.global_batch * p / now_.pipeline;
      add(grown, static_cast<double>(p), changed, system_, c);
    }
    w.series = {fixed, grown};
    w.x_now = static_cast<double>(now_.pipeline);
    return w;
  }
  WhatIf micro() const {
    WhatIf w{"micro", "Samples of a micro-batch", "samples",
             "Larger ones make larger products and fewer of them: less to fill the pipeline with, "
             "and more activations. Pipelines by 1f1b."};
    WhatIfSeries series{"planned", {}};
    Configuration plain = now_;
    plain.schedule = ScheduleKind::one_f_one_b;
    plain.chunks = 1;
    for (int64_t b = 1; b <= 32; b *= 2) {
      Configuration c = plain;
      c.micro = b;
      add(series, static_cast<double>(b), workload_, system_, c);
    }
    w.series.push_back(series);
    w.x_now = static_cast<double>(now_.micro);
    return w;
  }
  WhatIf shard() const {
    WhatIf w{"shard", "What data ranks split", "devices",
             "The batch grows with the devices. States (ZeRO-1) cost what plain averaging costs; "
             "parameters (ZeRO-3) are gathered for every pass."};
    for (const Shard level : {Shard::none, Shard::states, Shard::gradients, Shard::parameters}) {
      if (std::find(system_.shards.begin(), system_.shards.end(), level) == system_.shards.end())
        continue;
      Configuration c = now_;
      c.shard = level;
      w.series.push_back(over_data(name_of(level), true, c));
    }
    w.x_now = static_cast<double>(now_.devices());
    return w;
  }

 private:
  WhatIfSeries over_data(const std::string& name, bool grows, const Configuration& from) const {
    WhatIfSeries series{name, {}};
    std::vector<int64_t> ranks;
    for (int64_t d = now_.data; d >= 1; d /= 2) {
      ranks.insert(ranks.begin(), d);
      if (d % 2 != 0) break;
    }
    ranks.push_back(2 * now_.data);
    ranks.push_back(4 * now_.data);
    for (const int64_t d : ranks) {
      Configuration c = from;
      c.data = d;
      Workload changed = workload_;
      if (grows) changed.global_batch = workload_.global_batch / now_.data * d;
      add(series, static_cast<double>(c.devices()), changed, system_, c);
    }
    return series;
  }

  WhatIfSeries over_sequence(const std::string& name, const System& system) const {
    WhatIfSeries series{name, {}};
    for (const double factor : {0.25, 0.5, 1.0, 2.0, 4.0, 8.0}) {
      const auto length =
          static_cast<int64_t>(std::llround(static_cast<double>(workload_.sequence) * factor));
      if (length < 1) continue;
      add(series, static_cast<double>(length), with_sequence(workload_, length), system, now_);
    }
    return series;
  }

  void add(WhatIfSeries& series, double x, const Workload& workload, const System& system,
           const Configuration& c) const {
    if (workload.global_batch < 1) return;
    Predictor predictor(workload, system, machine_);
    if (!predictor.problem(c).empty()) return;
    const Prediction p = predictor.predict(c);
    const double tokens = static_cast<double>(workload.global_batch * workload.sequence);
    const auto devices = static_cast<double>(c.devices());
    series.points.push_back({x, devices, static_cast<double>(workload.global_batch), p.seconds,
                             tokens / p.seconds / devices, p.total_bytes, p.fits});
  }

  const Workload& workload_;
  const System& system_;
  const Machine& machine_;
  Configuration now_;
};

}  // namespace

Workload with_sequence(Workload workload, int64_t sequence) {
  const double factor = static_cast<double>(sequence) / static_cast<double>(workload.sequence);
  for (BlockSpec& block : workload.model.blocks) {
    for (LayerSpec& layer : block.layers) layer.cost.attention_flops *= factor;
  }
  workload.sequence = sequence;
  return workload;
}

std::vector<WhatIf> what_if(const Workload& workload, const System& system, const Machine& machine,
                            const Configuration& configuration) {
  const Varier varier(workload, system, machine, configuration);
  std::vector<WhatIf> all{varier.weak(),  varier.strong(),    varier.sequence(),
                          varier.batch(), varier.tensor(),    varier.pipeline(),
                          varier.micro(), varier.attention(), varier.shard()};
  for (WhatIf& curve : all)
    std::erase_if(curve.series, [](const WhatIfSeries& s) { return s.points.size() < 2; });
  std::erase_if(all, [](const WhatIf& curve) { return curve.series.empty(); });
  return all;
}

Effort effort(const Machine& machine, double tokens, double tokens_per_second, int64_t devices,
              const Checkpoints& checkpoints) {
  Effort e;
  Seconds seconds(tokens / tokens_per_second);
  if (checkpoints.interval > Seconds(0)) {
    const Seconds writing =
        checkpoints.write * std::floor(seconds.value / checkpoints.interval.value);
    e.checkpoint_hours = writing.value / 3600;
    seconds += writing;
  }
  e.hours = seconds.value / 3600;
  e.device_hours = e.hours * static_cast<double>(devices);
  e.node_hours = e.device_hours / static_cast<double>(machine.node.devices);
  const Joules energy = machine.device.power * static_cast<double>(devices) * seconds;
  e.megawatt_hours = energy.value / 3.6e9;
  return e;
}

}  // namespace ocoee::plan
