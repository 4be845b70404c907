// SPDX-License-Identifier: Apache-2.0
#include "plan/search.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <tuple>

#include "plan/refusal.h"

namespace ocoee::plan {
namespace {

std::vector<int64_t> divisors(int64_t n, int64_t most) {
  std::vector<int64_t> out;
  for (int64_t i = 1; i <= std::min(n, most); ++i) {
    if (n % i == 0) out.push_back(i);
  }
  return out;
}

using Family = std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t>;
Family family_of(const Configuration& c) {
  return {c.tensor, c.context, c.pipeline, c.data, c.micro};
}

struct Candidate {
  Configuration configuration;
  double seconds, least, bytes;
};

// The K-th smallest of the families' best times so far; infinite while there are fewer.
class Threshold {
 public:
  explicit Threshold(size_t count) : count_(count) {}
  double best_of(const Family& family) const {
    const auto found = best_.find(family);
    return found == best_.end() ? 1e300 : found->second;
  }
  void note(const Family& family, double seconds) {
    auto [found, is_new] = best_.emplace(family, seconds);
    if (!is_new) found->second = std::min(found->second, seconds);
    std::vector<double> all;
    for (const auto& [key, value] : best_) all.push_back(value);
    if (all.size() < count_) return;
    std::nth_element(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count_ - 1), all.end());
    limit_ = all[count_ - 1];
  }
  double limit() const { return limit_; }

 private:
  size_t count_;
  double limit_ = 1e300;
  std::map<Family, double> best_;
};

std::vector<Proposal> front_of(std::vector<Candidate> all, Predictor& predictor) {
  std::sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) {
    return std::tie(a.seconds, a.bytes) < std::tie(b.seconds, b.bytes);
  });
  std::vector<Proposal> front;
  double least_bytes = 1e300;
  for (const Candidate& candidate : all) {
    if (candidate.bytes >= least_bytes * 0.99) continue;  // a percent is no difference
    least_bytes = candidate.bytes;
    front.push_back({candidate.configuration, predictor.predict(candidate.configuration)});
  }
  return front;
}

template <class Value>
bool wanted(const std::optional<Value>& pin, Value value) {
  return !pin || *pin == value;
}

// Parameters are gathered for every pass: over all replicas, or over so many, those of one node.
// 0: that is no other way.
int64_t group_of_a_node(const Predictor& predictor, const Configuration& c) {
  const int64_t near = predictor.machine().node.devices / c.tensor, all = c.data * c.context;
  const bool can = c.shard == Shard::parameters && predictor.system().groups_shards;
  return can && near > 1 && near < all && all % near == 0 ? near : 0;
}

// Schedules, chunks, shards, recompute modes and placements of the axes and micro-batch of `c`.
template <class Visit>
void each_of_axes(Predictor& predictor, const SearchRequest& request, Configuration c,
                  const Visit& visit) {
  const System& system = predictor.system();
  const Workload& w = predictor.workload();
  const auto blocks = static_cast<int64_t>(w.model.blocks.size());
  for (const ScheduleKind kind : system.schedules) {
    if (c.pipeline == 1 && kind != ScheduleKind::one_f_one_b) continue;
    c.schedule = kind;
    const bool interleaves = kind == ScheduleKind::interleaved;
    for (int64_t v = interleaves ? 2 : 1; v <= (interleaves ? blocks / c.pipeline : 1); ++v) {
      c.chunks = v;
      if (!predictor.problem(c).empty()) continue;
      for (const Shard shard : system.shards) {
        if (!wanted(request.shard, shard)) continue;
        if (shard != Shard::none && (c.data * c.context == 1 || !w.shard)) continue;
        c.shard = shard;
        for (const Recompute recompute : system.recomputes) {
          if (!wanted(request.recompute, recompute)) continue;
          c.recompute = recompute;
          if (!predictor.changes_anything(c)) continue;
          const bool can_offload = system.offloads && recompute == Recompute::none &&
                                   predictor.machine().host.memory > Bytes(0);
          for (const bool offload : {false, true}) {
            if (offload && !can_offload) continue;
            c.offload = offload;
            c.placement = Placement::data_inside;
            visit(c);
            if (const int64_t near = group_of_a_node(predictor, c); near > 0) {
              c.shard_group = near;
              visit(c);
              c.shard_group = 0;
            }
            if (c.pipeline == 1 || c.data == 1) continue;
            c.placement = Placement::pipeline_inside;
            visit(c);
          }
          c.offload = false;
        }
      }
    }
  }
}

bool leaves_out_tensor(const Predictor& predictor, const SearchRequest& request) {
  return predictor.workload().tensor && request.devices > predictor.machine().node.devices &&
         !request.tensor_across_nodes && !request.tensor;
}

bool leaves_out_context(const Predictor& predictor, const SearchRequest& request) {
  const Workload& w = predictor.workload();
  return w.context && request.devices > 1 && predictor.system().least_context > 0 &&
         !request.context;
}

}  // namespace

std::vector<std::string> left_out(const Predictor& predictor, const SearchRequest& request) {
  std::vector<std::string> out;
  if (leaves_out_tensor(predictor, request))
    out.emplace_back("tensor groups across nodes (--across-nodes asks for them)");
  if (leaves_out_context(predictor, request))
    out.push_back(fmt::format("context ranks of fewer than {} tokens (--context asks for them)",
                              predictor.system().least_context));
  return out;
}

void each_configuration(Predictor& predictor, const SearchRequest& request,
                        const std::function<bool(const Configuration&)>& visit) {
  const System& system = predictor.system();
  const Workload& w = predictor.workload();
  const auto blocks = static_cast<int64_t>(w.model.blocks.size());

  for (const int64_t t : divisors(request.devices, w.tensor ? request.devices : 1)) {
    if (!wanted(request.tensor, t)) continue;
    if (t > predictor.machine().node.devices && leaves_out_tensor(predictor, request)) continue;
    for (const int64_t k : divisors(request.devices / t, w.context ? request.devices : 1)) {
      Configuration split;
      split.tensor = t;
      split.context = k;
      split.data = 1;
      if (k > 1 && w.sequence / k < system.least_context && leaves_out_context(predictor, request))
        continue;
      if (!wanted(request.context, k) || !predictor.shape_problem(t, k).empty()) continue;
      for (const int64_t p : divisors(request.devices / t / k, w.pipeline ? blocks : 1)) {
        if (!wanted(request.pipeline, p)) continue;
        const int64_t data = request.devices / (t * k * p);
        if (w.global_batch % data != 0) continue;
        for (const int64_t b : divisors(w.global_batch / data, w.global_batch)) {
          if (!wanted(request.micro, b)) continue;
          Configuration c = split;
          c.pipeline = p;
          c.data = data;
          c.micro = b;
          bool seen = false, fits = false;
          each_of_axes(predictor, request, c, [&](const Configuration& layout) {
            seen = true;
            fits |= visit(layout);
          });
          if (seen && !fits) break;
        }
      }
    }
  }
}

std::vector<Proposal> front_with_fewer(Predictor& predictor, const SearchRequest& request,
                                       int halvings, std::vector<Proposal> out) {
  SearchRequest fewer = request;
  for (int i = 0; i < halvings && fewer.devices % 2 == 0; ++i) {
    fewer.devices /= 2;
    std::vector<Candidate> fitting;
    each_configuration(predictor, fewer, [&](const Configuration& c) {
      const Prediction p = predictor.predict(c);
      if (p.fits) fitting.push_back({c, p.seconds, p.least_seconds, p.total_bytes});
      return p.fits;
    });
    const std::vector<Proposal> front = front_of(std::move(fitting), predictor);
    std::erase_if(out, [&](const Proposal& more) {
      return std::any_of(front.begin(), front.end(), [&](const Proposal& less) {
        return less.prediction.seconds <= more.prediction.seconds &&
               less.prediction.total_bytes <= more.prediction.total_bytes;
      });
    });
    out.insert(out.end(), front.begin(), front.end());
  }
  return out;
}

SearchResult search(Predictor& predictor, const SearchRequest& request) {
  const auto begin = std::chrono::steady_clock::now();
  SearchResult result;
  std::vector<Candidate> fitting;
  double least_bytes = 1e300;
  each_configuration(predictor, request, [&](const Configuration& c) {
    const Prediction p = predictor.predict(c);
    ++result.costed;
    if (p.total_bytes < least_bytes) {
      least_bytes = p.total_bytes;
      result.leanest = {c, p};
    }
    if (p.fits) fitting.push_back({c, p.seconds, p.least_seconds, p.total_bytes});
    return p.fits;
  });
  if (result.costed == 0) refuse_layouts(predictor, request);
  result.fitting = static_cast<int64_t>(fitting.size());
  if (fitting.empty()) refuse_memory(predictor, request, result.leanest);

  // Of layouts with equal bounds, those that leave the host alone come first, then the leanest.
  std::stable_sort(fitting.begin(), fitting.end(), [](const Candidate& a, const Candidate& b) {
    return std::tie(a.least, a.configuration.offload, a.bytes) <
           std::tie(b.least, b.configuration.offload, b.bytes);
  });
  Threshold threshold(request.top);
  std::map<Family, Proposal> best;
  for (const Candidate& candidate : fitting) {
    if (candidate.least >= threshold.limit()) break;
    const Family family = family_of(candidate.configuration);
    if (candidate.least >= threshold.best_of(family)) continue;
    Prediction p = predictor.simulate(candidate.configuration);
    result.simulated += p.simulated;
    if (p.seconds >= threshold.best_of(family)) continue;
    threshold.note(family, p.seconds);
    best[family] = {candidate.configuration, p};
  }
  for (const auto& [family, proposal] : best) result.proposals.push_back(proposal);
  std::sort(result.proposals.begin(), result.proposals.end(),
            [](const Proposal& a, const Proposal& b) {
              return a.prediction.seconds < b.prediction.seconds;
            });
  if (result.proposals.size() > request.top) result.proposals.resize(request.top);
  result.front = front_of(std::move(fitting), predictor);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return result;
}

}  // namespace ocoee::plan
