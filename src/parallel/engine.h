// SPDX-License-Identifier: Apache-2.0
// Runs one model, or one pipeline stage of it, layer by layer: forward, backward, recompute of
// blocks, and the reduction of gradients over the data axis while the backward pass runs on. Owns
// the weight store and lends weights to the layers.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/mesh.h"
#include "nn/layer.h"
#include "parallel/action_log.h"
#include "parallel/offload.h"
#include "parallel/weight_store.h"
#include "plan/placement.h"
#include "plan/schedule.h"

namespace ocoee::parallel {

// none: layers keep what they need; selective: but for what is cheap to compute again (norms,
// activations, attention probabilities); full: only the inputs of blocks are kept. Neither changes
// a bit, except selective on a GPU in half precision: GELU and its gradient, which the library's
// products make before they round, are then made from rounded numbers in the backward pass.
enum class Recompute : uint8_t { none, selective, full };
Recompute recompute_from_name(const std::string& name);  // as in a recipe

// Over the tensor axis the two halves of a micro-batch, by samples, can take turns: while the rows
// of the one travel, the other computes. automatic: where kernels of NCCL move them. Copy engines
// are quick enough beside a rank's own rows, and whole micro-batches make better products.
enum class Halves : uint8_t { automatic, on, off };
Halves halves_from_name(const std::string& name);  // as in a recipe

struct EngineOptions {
  Precision precision;
  Recompute recompute = Recompute::none;
  bool offload = false;  // saved activations wait in host memory
  uint64_t seed = 1;
  // Gradients leave for the data axis in pieces of about this size; 0: chosen.
  int64_t bucket_bytes = 0;
  Shard shard = Shard::none;
  plan::ScheduleKind schedule = plan::ScheduleKind::one_f_one_b;  // pipeline axis > 1
  int chunks = 1;                                                 // model parts a stage holds
  plan::ContextMethod context_method = plan::ContextMethod::ring;
  Halves halves = Halves::automatic;
  // Where they do not, products take a rank's own rows apart from the others' (nn::Context). Always
  // where messages run beside computation.
  bool own_rows_first = false;
  // GPU: multiprocessors that products leave free while messages run beside them.
  int message_multiprocessors = 0;
  bool float8 = false;        // products of layers that can, in float8 (nn/float8.h)
  std::vector<int64_t> cuts;  // the first block of each part but the first; empty: by cost
};

// What one micro-batch keeps between its passes, of the layers whose specs say it: what is planned
// from the specs, and the memory that was taken for it. The batch itself is not counted.
struct KeptBytes {
  int64_t planned = 0, taken = 0;
};

// One micro-batch of a pipelined step.
struct MicroStep {
  const nn::Bundle* batch;  // lives until the step is over; every stage has it
  int64_t first_sample = 0;
};

class Engine {
 public:
  // What one forward pass keeps for its backward; of one chunk. Where halves take turns, of the
  // first half; `output` is that of both.
  struct Pass {
    nn::Bundle output;  // sums of losses among it may be known after the backward pass only
    const nn::Bundle* batch = nullptr;
    std::unique_ptr<Pass> second_half;
    struct {
      nn::Bundle first, second, whole;
    } sums;  // of two halves: their scalars, and what these add up to, after backward once more
    std::unique_ptr<nn::Bundle> own_batch;      // of a half
    std::vector<nn::Bundle> block_inputs;       // recompute only
    std::vector<std::vector<nn::Saved>> saved;  // per block of the chunk, per layer
    std::vector<Offload::Parked> parked;        // offload only: per block
    std::vector<nn::WeightWork> put_off;        // weight work that the schedule puts off: per block
    int64_t first_sample = 0;
    size_t chunk = 0;
    KeptBytes kept = {};
  };

  // `model` is the whole model; of it, this rank's part of this rank's stage is built. Throws
  // Error(config) for a layout that cannot work.
  Engine(const plan::ModelSpec& model, const EngineOptions& options, comm::Mesh& mesh);
  ~Engine();

  const plan::ModelSpec& model() const { return stage_.model; }  // of this stage
  WeightStore& weights() { return store_; }
  comm::Mesh& mesh() { return mesh_; }
  const EngineOptions& options() const { return options_; }
  bool pipelined() const { return mesh_.size(comm::Axis::pipeline) > 1; }
  size_t chunks() const { return stage_.chunks.size(); }

  // `random_state` int64 [2] {step, micro-batch} on the device; kernels read it.
  void set_random_state(const at::Tensor& state);

  void initialize(uint64_t seed);  // weights, on all ranks alike (collective)
  void zero_gradients();
  // `batch` must live until backward. Training mode: dropout on, activations kept. Not pipelined.
  Pass forward(const nn::Bundle& batch, int64_t first_sample = 0);
  // Dropout off, nothing kept. Pipelined: the output of the last stage, empty elsewhere.
  nn::Bundle evaluate(const nn::Bundle& batch);
  // Adds weight gradients; returns the gradients of the inputs. On the last micro-batch, finished
  // gradients start their reduction over the replicas (data and context axes) at once. Not
  // pipelined.
  nn::Bundle backward(Pass& pass, const nn::Bundle& grad_output, bool last_micro_batch);
  // All micro-batches of a step through the pipeline, by its schedule. `score` turns the output of
  // a micro-batch into its gradient; only the last stage calls it. A sum of losses in the output
  // may be NaN until the step is over.
  void run_pipeline(const std::vector<MicroStep>& micro,
                    const std::function<nn::Bundle(size_t, const nn::Bundle&)>& score);
  const Offload& offload() const { return offload_; }
  const KeptBytes& kept() const { return kept_; }  // of the pass that kept the most
  // Of the last pipelined step here: what was done when (on a GPU the host waits), and the most
  // activations (micro-batches, in chunks) that were held at once.
  std::vector<Executed> executed() const;
  int64_t most_in_flight() const;
  bool messages_run_beside() const;
  // Whether the halves of such a micro-batch take turns here.
  bool takes_turns(const nn::Bundle& batch) const;
  // Waits (on the stream) for the reductions; then sums over the tensor axis what is whole on each
  // of its ranks. `summed` gets each stretch [begin, end) of the masters whose gradients are final:
  // where it can, all but the last bucket's or unit's while that is still being summed.
  void finish_gradients(const std::function<void(int64_t begin, int64_t end)>& summed = {});
  // float8: the magnitudes behind the scales, an array [products, 3] for each layer.
  std::vector<run::StateArray> float8_arrays(const std::string& prefix) const;
  void float8_loaded();
  void publish();  // after masters moved: whole values wherever they are kept (collective)

  // The pieces of a pass, for the pipeline. `next`: the block that runs after this piece, whose
  // values are fetched beforehand; kNone: none. The values of the block that a pass ends with stay.
  static constexpr size_t kNone = static_cast<size_t>(-1);
  Pass forward_chunk(size_t chunk, nn::Bundle in, const MicroStep& micro, size_t next);
  nn::Bundle backward_chunk(Pass& pass, const nn::Bundle& grad_output, bool last_micro_batch,
                            size_t next);
  // Input gradients only, and then what was put off.
  nn::Bundle input_backward(Pass& pass, const nn::Bundle& grad_output, size_t next);
  void weight_work(Pass& pass, bool last_micro_batch);

 private:
  // A pass on its way from layer to layer.
  struct Walk {
    Pass& pass;
    nn::Context& context;
    nn::Bundle here;                   // enters the next layer
    bool leads = true, closes = true;  // first and last of the passes that take turns
    nn::Bundle leaving = {}, again = {}, owed = {};
    std::optional<nn::Arena> arena = {};  // of the layer that runs
    nn::Bundle gradient = {};             // while a block is computed again
    nn::WeightWork work = nn::WeightWork();
    nn::Saved nothing = {};  // of blocks that keep nothing
  };
  void run_block(size_t block, const nn::Bundle& in, nn::Bundle& out);  // keeps nothing
  void start(Pass& pass, size_t chunk, const nn::Bundle& batch, int64_t first_sample) const;
  void enter(const Pass& pass, nn::Context& context) const;
  void add_block(Walk& walk, size_t block, std::vector<nn::Saved>* saved, bool wants_output,
                 nn::Pieces& pieces);
  void add_forward(Walk& walk, size_t next, nn::Pieces& pieces);
  void add_backward(Walk& walk, bool last_micro_batch, size_t next, nn::Pieces& pieces);
  nn::Bundle run_backward(Pass& pass, const nn::Bundle& grad_output, bool last_micro_batch,
                          size_t next);
  bool turns_round(size_t block) const;
  bool is_last_chunk(size_t chunk) const { return chunk + 1 == chunks(); }
  // The saved tensors of a block of a pass, in a fixed order.
  std::vector<at::Tensor*> saved_tensors(Pass& pass, size_t block) const;
  // By layer, for the batch at hand.
  const std::vector<plan::ArenaPlan>& arenas_of(size_t block, const nn::Context& context);
  void count_kept(Walk& walk, size_t block, bool recomputed);
  void park(Pass& pass, size_t block);
  void restore(Pass& pass, size_t block);
  void prefetch(size_t block);              // its whole values begin to come
  void acquire(size_t block, size_t next);  // whole values, and a prefetch of the next block's
  void release(size_t block, size_t next);  // unless it is the next
  std::vector<size_t> units_of(size_t block) const;
  void open_gradients(size_t block);
  bool block_done(size_t block, bool last_micro_batch);  // true: its gradients have left
  void beside_messages(bool on) const;
  int64_t bucket_bytes();
  void make_buckets();
  void make_float8();
  void set_training(bool on);
  void list_added_gradients();
  // Everything at or above `offset` is final. True: some of it has left.
  bool gradients_ready_from(int64_t offset);
  void expect_borrowed_gradients();  // they may arrive from now on
  void return_borrowed_gradients();
  void lend_borrowed_values();

  struct Bucket {
    int64_t begin, end;
    bool held;  // waits for another stage's part
  };
  EngineOptions options_;
  comm::Mesh& mesh_;
  std::vector<plan::Borrowed> borrowed_;
  plan::StageModel stage_;
  WeightStore store_;
  nn::Context context_, second_context_;  // the second half's
  Offload offload_;
  plan::ArenaShape arena_shape_;
  std::vector<std::vector<plan::ArenaPlan>> arenas_;  // per block, per layer
  KeptBytes kept_;
  std::unique_ptr<nn::Float8Table> float8_;                      // null: not in use
  std::vector<std::vector<std::unique_ptr<nn::Layer>>> layers_;  // per block
  std::vector<bool> held_;       // per block: its gradients wait for another stage's part
  std::vector<Bucket> buckets_;  // from the end of the flat space to its start
  size_t buckets_sent_ = 0;
  std::vector<at::Tensor> added_gradients_;  // views of what is zeroed before a step
  std::vector<comm::WorkHandle> reductions_;
  std::vector<std::pair<at::Tensor, comm::WorkHandle>> arriving_;  // borrowed gradients
  struct Pipeline;
  std::unique_ptr<Pipeline> pipeline_;
};

}  // namespace ocoee::parallel
