// SPDX-License-Identifier: Apache-2.0
// Executes a pipeline schedule (plan/schedule.h) on one stage: bundles come from the stage before
// and go to the stage after, gradients the other way. Internal to the engine.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "parallel/engine.h"

namespace ocoee::parallel {

// Bundles between two ranks of a communicator. What a bundle holds is said once for each kind of
// message and shape of batch; after that only tensors travel.
class BundleTransport {
 public:
  // `most_unseen`: messages to one peer and way that have surely arrived before the next but so
  // many is sent. While a graph is captured nothing else tells that one is through.
  BundleTransport(comm::Mesh& mesh, int64_t most_unseen) : mesh_(mesh), most_unseen_(most_unseen) {}
  enum class Way : uint8_t { forward, backward };
  // Messages to or from one chunk of one peer all look alike as long as batches do. Sends are
  // asynchronous.
  void send(const nn::Bundle& bundle, int peer, Way way, size_t chunk);
  // A receive() that comes soon: its bundle may begin to arrive. False where that cannot be, or
  // where it is not known yet what it holds.
  bool prepare(int peer, Way way, size_t chunk);
  nn::Bundle receive(int peer, Way way, size_t chunk);
  void finish_sends();
  void expect(const nn::Bundle& batch);  // what follows is of batches like this one

 private:
  struct Field {
    std::string name;
    c10::ScalarType type;
    std::vector<int64_t> shape;
  };
  using Key = std::tuple<int, Way, size_t>;
  struct Arriving {
    nn::Bundle bundle;
    std::vector<comm::WorkHandle> work;
  };
  Arriving start_receive(const Key& key, const std::vector<Field>& fields);
  comm::Communicator& channel(Way way, int from);
  comm::Mesh& mesh_;
  std::string batch_;
  std::map<Key, std::vector<std::string>> sent_;
  std::map<Key, std::vector<Field>> received_;
  std::map<Key, Arriving> prepared_;
  struct Sending {
    int peer;
    Way way;
    int64_t message;  // of this peer and way
    comm::WorkHandle work;
    at::Tensor tensor;
  };
  void let_go(const device::Stream& stream);  // of what is through
  int64_t most_unseen_;
  std::map<std::pair<int, Way>, int64_t> messages_;
  std::vector<Sending> under_way_;
};

struct Engine::Pipeline {
  explicit Pipeline(Engine& engine);
  void run(const std::vector<MicroStep>& micro,
           const std::function<nn::Bundle(size_t, const nn::Bundle&)>& score);
  nn::Bundle evaluate(const nn::Bundle& batch,
                      const std::function<nn::Bundle(size_t, nn::Bundle)>& run_chunk);
  ActionLog log;
  int64_t most_in_flight = 0;

 private:
  const std::vector<plan::Step>& steps_for(size_t micro_batches);
  void prepare(const std::vector<plan::Step>& steps, size_t first);
  size_t next_block(const std::vector<plan::Step>& steps, size_t first) const;
  size_t next_gathered(const std::vector<plan::Step>& steps, size_t first) const;

  Engine& engine_;
  BundleTransport transport_;
  std::map<size_t, plan::Schedule> schedules_;  // by number of micro-batches
};

}  // namespace ocoee::parallel
