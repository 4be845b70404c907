// SPDX-License-Identifier: Apache-2.0
// What the ranks of each stage hold: states, activations of the micro-batches in flight, and what
// comes and goes beside them at the fullest moment.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "plan/predict.h"

namespace ocoee::plan {
namespace {

constexpr double kMiB = 1 << 20;

// Bytes of the block of memory that LibTorch's allocator gives on a GPU: from 10 MiB on whole 2
// MiB, unless more than 1 MiB would be left over, which it splits off.
double block_of(double bytes) {
  const double whole = std::ceil(bytes / (2 * kMiB)) * 2 * kMiB;
  return bytes >= 10 * kMiB && whole - bytes <= kMiB ? whole : bytes;
}

struct Holding {  // of a rank
  std::array<double, kHeld> bytes{};
  double in_flight = 1;
  double on_host = 0, put_off = 0;  // bytes that wait there, or for their weight work
  double& of(Held held) { return bytes[static_cast<size_t>(held)]; }
};

struct BlockSums {  // over the blocks of a stage
  double queued = 0, tables = 0, lasting = 0, large = 0;
};

struct Moment {  // bytes beside states and the activations that are kept
  double passing = 0, units = 0, both = -1;
  void consider(double more_passing, double more_units) {
    if (more_passing + more_units > both)
      *this = {more_passing, more_units, more_passing + more_units};
  }
};

}  // namespace

// Of one configuration.
class Predictor::Memory {
 public:
  Memory(const Predictor& predictor, const Configuration& c)
      : predictor_(predictor),
        c_(c),
        workload_(predictor.workload_),
        system_(predictor.system_),
        device_(predictor.machine_.device),
        blocks_(*predictor.blocks_),
        cut_(*predictor.cut_),
        schedule_(c.schedule_request(workload_.global_batch)),
        ranks_(shards(c)),
        micro_batches_(c.micro_batches(workload_.global_batch)),
        states_(system_.states(ranks_ > 1 ? c.shard : Shard::none, workload_.compute_bytes())),
        mode_(static_cast<size_t>(c.recompute)),
        element_(static_cast<double>(workload_.compute_bytes())),
        gradient_(static_cast<double>(workload_.gradient_bytes())),
        tokens_(predictor.tokens(c)),
        whole_stream_(predictor.stream_bytes(c)),
        norm_split_(system_.norms_sharded ? static_cast<double>(c.tensor) : 1),
        gathers_(ranks_ > 1 && c.shard == Shard::parameters),
        sums_buckets_(ranks_ > 1 && system_.bucket_elements > 0),
        sums_blocks_(ranks_ > 1 && at_least(c.shard, Shard::gradients) && !sums_buckets_) {}

  // Stages one by one from the first: equal ones have equal moments.
  Holding of(size_t stage) {
    Holding out;
    const BlockSums sums = sums_of(stage);
    states(stage, out);
    activations(stage, sums.queued, out);
    if (stage < 2 || !cut_.repeats[stage])  // the first puts nothing off
      moment_ = fullest_moment(stage);
    out.of(Held::temporary) = moment_.passing + sums.tables;
    if (system_.by_tensor && c_.tensor * c_.context > 1)  // where a rank's rows stand
      out.of(Held::temporary) += 8 * tokens_ / norm_split_;
    if (system_.by_tensor) {  // the step's samples, and those of a micro-batch as the model reads
      const int64_t samples = micro_batches_ + (c_.pipeline > 1 ? 2 * micro_batches_ : 2);
      out.of(Held::temporary) += 8 * tokens_ * static_cast<double>(samples);
    }
    out.of(Held::temporary) += system_.by_tensor ? sums.lasting : device_.workspace.value;
    // Units that come and go whole; messages both ways; elsewhere a gathered input beside the one
    // in use.
    out.of(Held::communication) = moment_.units;
    if (c_.tensor > 1 && !system_.by_tensor) out.of(Held::communication) += 2 * whole_stream_;
    if (c_.pipeline > 1) out.of(Held::communication) += 4 * whole_stream_ / norm_split_;
    slack(sums.large, out);
    return out;
  }

  // Of a stage's activations; where they wait in the host's memory, what is here has the same
  // shares.
  std::map<std::string, double> activations_by_kind(size_t stage, Holding held) const {
    const double kept = predictor_.saved_bytes(stage, c_);
    std::map<std::string, double> out;
    if (held.put_off > 0) out["weight work put off"] = held.put_off;
    for (size_t k = 0; kept > 0 && k < blocks_.size(); ++k) {
      for (const auto& [kind, saved] : blocks_[k].saved_by_kind) {
        const double share = cut_.blocks[stage][k] * saved[mode_] / kept;
        if (share > 0) out[kind] += share * (held.of(Held::activations) - held.put_off);
      }
    }
    return out;
  }

 private:
  BlockSums sums_of(size_t stage) const {
    BlockSums sums;
    for (size_t k = 0; k < blocks_.size(); ++k) {
      const double n = cut_.blocks[stage][k];
      if (n == 0) continue;
      const BlockCost& block = blocks_[k];
      sums.queued += n * std::max(0.0, block.waiting - block.saved[mode_]);
      sums.tables += n * block.tables;
      sums.lasting = std::max(sums.lasting, block.lasting);
      if (block.saved[mode_] > kMiB) sums.large += n;
    }
    return sums;
  }

  void states(size_t stage, Holding& out) const {
    const double own = predictor_.parameters_[stage];
    const double elements = own + predictor_.borrowed_[stage];
    out.of(Held::parameters) = elements * states_.weights.on_rank(ranks_);
    out.of(Held::gradients) = elements * states_.gradients.on_rank(ranks_);
    out.of(Held::masters) = own * states_.masters.on_rank(ranks_);
    out.of(Held::optimizer) =
        own * states_.moments.on_rank(ranks_) * workload_.optimizer_states / 2;
  }

  // `queued`: bytes with which the weight work of a micro-batch waits, beside what is kept.
  void activations(size_t stage, double queued, Holding& out) const {
    if (c_.pipeline > 1)
      out.in_flight =
          static_cast<double>(activations_in_flight(schedule_, static_cast<int>(stage)));
    const double kept =
        predictor_.saved_bytes(stage, c_) * out.in_flight / static_cast<double>(c_.chunks);
    out.on_host = kept;
    out.of(Held::activations) = kept;
    if (c_.offload) {
      out.of(Held::activations) = 0;
      for (const std::vector<uint16_t>& chunk : cut_.order[stage])
        out.of(Held::activations) = std::max(out.of(Held::activations), most_here(chunk));
    }
    // Weight work of as many micro-batches as the stage's number waits.
    if (c_.puts_off_weights())
      out.put_off =
          static_cast<double>(std::min(static_cast<int64_t>(stage), micro_batches_)) * queued;
    out.of(Held::activations) += out.put_off;
  }

  // Where activations wait in the host's memory: what a block keeps, and what the one before it
  // does, which is on its way out or back.
  double most_here(const std::vector<uint16_t>& chunk) const {
    double most = 0, before = 0;
    for (const uint16_t k : chunk) {
      const double own = blocks_[k].saved[mode_];
      most = std::max(most, own + before);
      before = own;
    }
    return most;
  }

  // `large`: blocks of which more than 1 MiB is kept.
  void slack(double large, Holding& out) const {
    double& lost = out.of(Held::slack);
    lost = system_.slack *
           (out.of(Held::activations) + out.of(Held::temporary) + out.of(Held::communication));
    if (!system_.by_tensor || device_.workspace <= Bytes(0)) return;
    // An array that is kept may lie in a freed block of up to 1 MiB more: one in each of ours.
    lost += large * out.in_flight / static_cast<double>(c_.chunks) * kMiB;
    for (const Held flat : {Held::parameters, Held::gradients, Held::masters})
      lost += block_of(out.of(flat)) - out.of(flat);
    if (const double arrays = workload_.optimizer_states; arrays > 0)
      lost += arrays * block_of(out.of(Held::optimizer) / arrays) - out.of(Held::optimizer);
  }

  // What a stage holds at its fullest moment beside states and the activations of other
  // micro-batches.
  Moment fullest_moment(size_t stage) const {
    // The first stage of zero_bubble puts nothing off.
    const bool waits = system_.by_tensor && c_.puts_off_weights() && stage > 0;
    Moment most;
    for (const std::vector<uint16_t>& chunk : cut_.order[stage]) walk(chunk, waits, most);
    // Other software sums its gradients by the bucket, whatever their blocks.
    if (sums_buckets_)
      most.units += std::min(system_.bucket_elements, predictor_.parameters_[stage]) *
                    system_.states(c_.shard, workload_.compute_bytes()).gradients.bytes;
    return most;
  }

  // From the last block to the first: what earlier blocks keep, what the one running backward
  // holds, weight work that waits, and units that are whole only while they are used.
  void walk(const std::vector<uint16_t>& chunk, bool waits, Moment& most) const {
    const double share = 1 / static_cast<double>(ranks_), stream = whole_stream_ / norm_split_;
    const bool goes_on = !waits && micro_batches_ > 1;
    const auto block_at = [&](size_t b) -> const BlockCost& { return blocks_[chunk[b]]; };
    if (sums_blocks_ && goes_on) {  // forward, with sums of the micro-batch before under way
      double first = 0;
      for (size_t b = 0; b < std::min<size_t>(2, chunk.size()); ++b)
        first += block_at(b).parameters;
      most.consider(0, gradient_ * first * (1 + share));
    }
    double kept = 0, waiting = 0, most_whole = 0;
    for (const uint16_t k : chunk) kept += blocks_[k].saved[mode_];
    const double all = c_.offload ? most_here(chunk) : kept;
    for (size_t b = chunk.size(); b-- > 0;) {
      const BlockCost& block = block_at(b);
      if (c_.offload)
        kept = b > 0 ? block_at(b - 1).saved[mode_] : 0;  // on its way back
      else
        kept -= block.saved[mode_];
      const double own = block.parameters, next = b > 0 ? block_at(b - 1).parameters : 0;
      const double borrowed = c_.pipeline == 1 ? block.borrowed : 0;
      double units = 0;
      if (sums_blocks_) {
        // The gradient that is written, unless that waits, and two that are being summed. A tied
        // matrix's is whole from the block that borrows it to its own.
        const double lent = c_.pipeline == 1 && b > 0 ? blocks_[chunk.back()].borrowed : 0;
        const double summed =
            (under_way(chunk, b, 1, goes_on) + under_way(chunk, b, 2, goes_on)) * (1 + share);
        most_whole = std::max(most_whole, own + summed);
        units = gradient_ * ((waits ? 0 : own) + summed + lent);
        if (!waits)  // its passes are over: the slice that its own sum arrives in
          most.consider(kept + (b > 0 ? stream : 0) - all,
                        units + gradient_ * own * share +
                            (gathers_ ? element_ * (b > 0 ? next : own + borrowed) : 0));
      }
      if (gathers_) units += element_ * (own + next + borrowed);
      most.consider(kept + (waits ? block.putting_off : block.alive)[mode_] + waiting - all, units);
      if (waits) waiting += block.waiting;
    }
    if (waits) most.consider(waiting - all, gradient_ * most_whole);  // then the weight work
  }

  // Elements of the block that ran `steps` before block `b`, if its sum is under way. Two are at
  // most; those of the first blocks still are when the last one runs in the next micro-batch,
  // unless that is tied to the first and waits for it.
  double under_way(const std::vector<uint16_t>& chunk, size_t b, size_t steps, bool goes_on) const {
    size_t other = b + steps;
    if (other >= chunk.size() && goes_on && steps < chunk.size() &&
        blocks_[chunk.back()].borrowed == 0)
      other -= chunk.size();
    return other < chunk.size() ? blocks_[chunk[other]].parameters : 0;
  }

  const Predictor& predictor_;
  const Configuration& c_;
  const Workload& workload_;
  const System& system_;
  const Device& device_;
  const std::vector<BlockCost>& blocks_;  // by class
  const Cut& cut_;
  const ScheduleRequest schedule_;
  const int64_t ranks_, micro_batches_;  // ranks: over which states are split
  const StateRules& states_;
  const size_t mode_;
  const double element_, gradient_;         // bytes
  const double tokens_;                     // of a micro-batch on a rank
  const double whole_stream_, norm_split_;  // bytes of the residual stream; its parts
  const bool gathers_;                      // parameters are whole only while they are used
  const bool sums_buckets_, sums_blocks_;   // gradients, which are whole until they are summed
  Moment moment_;
};

void Predictor::set_memory(const Configuration& c, Prediction& out,
                           std::vector<StageMemory>* stages) const {
  Memory memory(*this, c);
  double host = 0;  // bytes of a rank that wait there
  for (size_t s = 0; s < stages_.size(); ++s) {
    const Holding held = memory.of(s);
    host = std::max(host, held.on_host);
    if (stages)
      stages->push_back(
          {held.bytes, static_cast<int64_t>(held.in_flight), memory.activations_by_kind(s, held)});
    const double total = std::accumulate(held.bytes.begin(), held.bytes.end(), 0.0);
    if (total > out.total_bytes) {
      out.total_bytes = total;
      out.bytes = held.bytes;
      out.fullest = static_cast<int>(s);
    }
  }
  out.fits = out.total_bytes <= usable_bytes();
  if (c.offload)  // half of a node's memory is left to the rest
    out.fits &= host * static_cast<double>(machine_.node.devices) <= machine_.host.memory.value / 2;
}

// What a stage keeps of one micro-batch.
double Predictor::saved_bytes(size_t stage, const Configuration& c) const {
  double sum = 0;
  for (size_t k = 0; k < blocks_->size(); ++k)
    sum += cut_->blocks[stage][k] * (*blocks_)[k].saved[static_cast<size_t>(c.recompute)];
  return sum;
}

}  // namespace ocoee::plan
