// SPDX-License-Identifier: Apache-2.0
// Windows of tokens, as samples. Every window is led by kBegin, in training as in evaluation, so
// the first word is predicted and scored like any other: a model reads tokens[0 .. context-1] and
// predicts tokens[1 .. context].
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "data/corpus.h"
#include "data/source.h"
#include "data/tokenizer.h"

namespace ocoee::data {

// [first, last) words of a window that a rank reads, of equal lengths; empty: the whole window. Its
// tokens are, for each piece, the word before it and its words: [pieces * (length + 1)].
using WindowPieces = std::vector<std::pair<int64_t, int64_t>>;

struct WindowOptions {
  uint64_t seed = 1;
  int64_t context = 256;     // words in a window
  bool both_strands = true;  // half of the windows are reverse complements; false for text
  WindowPieces pieces = {};
};

// Training: windows of context x letters_per_token letters at random places, every place of every
// segment with the same probability. Sample p is a function of (seed, p) alone: its place comes
// from Purpose::data_offset, its strand from Purpose::data_augmentation, with id p and step 0.
// Field: "tokens" i64 [context + 1], or of the pieces.
class WindowSource final : public Source {
 public:
  // Throws Error(data) when no segment is as long as a window.
  WindowSource(Part part, std::shared_ptr<const Tokenizer> tokenizer, WindowOptions options);

  const std::vector<FieldSpec>& fields() const override { return fields_; }
  void fill(int64_t position, const std::vector<void*>& rows) const override;

  int64_t places() const { return first_place_.back(); }        // on one strand
  int64_t letters_skipped() const { return letters_skipped_; }  // in segments shorter than a window

 private:
  Part part_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  WindowOptions options_;
  std::vector<FieldSpec> fields_;
  int64_t window_ = 0;                // letters
  std::vector<int64_t> first_place_;  // of segment i; one more at the end
  int64_t letters_skipped_ = 0;
};

// Whole words of `letters` that hold no unknown letter.
int64_t known_words(const Tokenizer& tokenizer, std::string_view letters);

// Held-out: each segment from its first letter in windows of `context` words, without overlap,
// forward strand, frame 0. Fields: "tokens" i64 [context + 1], padded with kPad; "weights" f32
// [context], which is 1 for each word scored, and 0 for padding and for words that hold a letter
// other than A C G T. So each word is scored once. What is not scored is counted: unknown words,
// and the piece shorter than a word at the end of a segment. Positions from size() on are all
// padding, so that batches and ranks need not divide size().
class HeldOutSource final : public EvaluationSource {
 public:
  // Throws Error(config) when there is nothing to score. With pieces, "weights" are those of the
  // words predicted in them.
  HeldOutSource(Part part, std::shared_ptr<const Tokenizer> tokenizer, int64_t context,
                WindowPieces pieces = {});

  const std::vector<FieldSpec>& fields() const override { return fields_; }
  void fill(int64_t position, const std::vector<void*>& rows) const override;
  int64_t size() const override { return first_window_.back(); }

  int letters_per_token() const { return tokenizer_->letters_per_token(); }
  // Divide nats summed over weighted words by this times ln 2: bits per base.
  int64_t letters_scored() const { return letters_scored_; }
  int64_t letters_left_out() const { return part_.letters() - letters_scored_; }
  size_t segment_of(int64_t position) const;  // for scores by record; position < size()
  const Part& part() const { return part_; }

 private:
  Part part_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  int64_t context_;
  WindowPieces pieces_;
  std::vector<FieldSpec> fields_;
  std::vector<int64_t> first_window_;  // of segment i; one more at the end
  int64_t letters_scored_ = 0;
};

}  // namespace ocoee::data
