// SPDX-License-Identifier: Apache-2.0
#include "data/prefetch.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <new>
#include <thread>

#include "core/error.h"

namespace ocoee::data {
namespace {

enum class SlotState : uint8_t { free, filling, ready, on_loan };

struct Slot {
  SlotState state = SlotState::free;
  std::vector<std::shared_ptr<void>> fields;
  std::exception_ptr error;
};

std::shared_ptr<void> ordinary_memory(size_t bytes) {
  constexpr std::align_val_t alignment{64};
  return {::operator new(bytes, alignment),
          [](void* memory) { ::operator delete(memory, alignment); }};
}

}  // namespace

// Micro-batch number q (counted from the first step) lives in slot q % depth. Batches on loan keep
// this alive, so they can be given back after the Prefetcher has gone.
struct Prefetcher::Shared {
  std::shared_ptr<const Source> source;
  BatchShape shape;
  int64_t first_step = 0, end = -1;  // `end`: number of micro-batches, or negative

  std::mutex mutex;
  std::condition_variable slot_is_free, slot_is_ready;
  std::vector<Slot> slots;
  int64_t claimed = 0,
          taken = 0;  // micro-batches that a thread began to fill; that next() gave out
  bool stop = false;
  std::vector<std::jthread> threads;

  ~Shared() { finish(); }
  void finish() {
    {
      const std::lock_guard lock(mutex);
      stop = true;
      slot_is_free.notify_all();
    }
    threads.clear();  // joins
  }

  Slot& slot(int64_t q) { return slots[static_cast<size_t>(q) % slots.size()]; }
  bool may_claim() { return (end < 0 || claimed < end) && slot(claimed).state == SlotState::free; }

  void fill(int64_t q, Slot& into) {
    const int64_t step = first_step + q / shape.micro_batches();
    const int64_t index = q % shape.micro_batches();
    std::vector<void*> rows(into.fields.size());
    for (int64_t row = 0; row < shape.micro; ++row) {
      for (size_t i = 0; i < rows.size(); ++i) {
        const FieldSpec& field = source->fields()[i];
        rows[i] = static_cast<char*>(into.fields[i].get()) +
                  static_cast<size_t>(row * field.elements()) * size_of(field.dtype);
      }
      source->fill(shape.position(step, index, row), rows);
      const std::lock_guard lock(mutex);
      if (stop) return;
    }
  }

  void work() {
    std::unique_lock lock(mutex);
    for (;;) {
      slot_is_free.wait(lock, [&] { return stop || (end >= 0 && claimed >= end) || may_claim(); });
      if (stop || !may_claim()) return;
      const int64_t q = claimed++;
      Slot& mine = slot(q);
      mine.state = SlotState::filling;
      lock.unlock();
      std::exception_ptr error;
      try {
        fill(q, mine);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      mine.error = error;
      mine.state = SlotState::ready;
      slot_is_ready.notify_all();
    }
  }

  void give_back(int64_t q) {
    const std::lock_guard lock(mutex);
    slot(q).state = SlotState::free;
    slot_is_free.notify_all();
  }
};

Prefetcher::Prefetcher(std::shared_ptr<const Source> source, BatchShape shape, int64_t first_step,
                       int64_t end_step, const PrefetchOptions& options)
    : shared_(std::make_shared<Shared>()) {
  OCOEE_CHECK(shape.micro > 0 && shape.data_size > 0 && shape.data_rank >= 0 &&
              shape.data_rank < shape.data_size);
  OCOEE_CHECK(shape.global > 0 && shape.global % (shape.micro * shape.data_size) == 0,
              "global batch {} is no multiple of {} x {}", shape.global, shape.micro,
              shape.data_size);
  OCOEE_CHECK(options.threads > 0 && options.depth > 0 && first_step >= 0);
  const auto allocate = options.memory.allocate ? options.memory.allocate : ordinary_memory;
  shared_->slots.resize(static_cast<size_t>(options.depth));
  for (Slot& slot : shared_->slots) {
    for (const FieldSpec& field : source->fields()) {
      slot.fields.push_back(
          allocate(static_cast<size_t>(shape.micro * field.elements()) * size_of(field.dtype)));
    }
  }
  shared_->source = std::move(source);
  shared_->shape = shape;
  shared_->first_step = first_step;
  if (end_step >= 0) {
    shared_->end = std::max<int64_t>(0, end_step - first_step) * shape.micro_batches();
  }
  for (int i = 0; i < options.threads; ++i) {
    shared_->threads.emplace_back([shared = shared_.get()] { shared->work(); });
  }
}

Prefetcher::~Prefetcher() {
  shared_->finish();
}

std::optional<Prefetcher::Batch> Prefetcher::next() {
  Shared& shared = *shared_;
  std::unique_lock lock(shared.mutex);
  if (shared.end >= 0 && shared.taken == shared.end) return std::nullopt;
  const int64_t q = shared.taken;
  Slot& slot = shared.slot(q);
  OCOEE_CHECK(slot.state != SlotState::on_loan,
              "all {} micro-batches are on loan: give one back before the next",
              shared.slots.size());
  shared.slot_is_ready.wait(lock, [&] { return slot.state == SlotState::ready; });
  if (slot.error) std::rethrow_exception(slot.error);
  slot.state = SlotState::on_loan;
  ++shared.taken;
  Batch batch;
  batch.step_ = shared.first_step + q / shared.shape.micro_batches();
  batch.index_ = q % shared.shape.micro_batches();
  for (const auto& field : slot.fields) batch.fields_.push_back(field.get());
  batch.loan_ =
      std::shared_ptr<void>(nullptr, [owner = shared_, q](void*) { owner->give_back(q); });
  return batch;
}

}  // namespace ocoee::data
