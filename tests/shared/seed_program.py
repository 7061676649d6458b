"""The program that this package began from; it must run as it stands, and stands in the README."""

PROGRAM = """
import nnscratch as nn

text = nn.data.load_austen("pride_and_prejudice")
tokenizer = nn.data.WordTokenizer.from_text(text, max_size=10_000)
batches = nn.data.TextBatches(tokenizer.encode(text), batch_size=20, seq_len=35)
model = nn.models.LanguageModel(vocab_size=len(tokenizer), embed_size=256, hidden_size=512, num_layers=2, rng=0)
criterion = nn.CrossEntropyLoss()
optimizer = nn.optim.Adam(model.parameters(), lr=0.001)
hidden = model.init_hidden(batch_size=20)
for step, (inputs, targets) in enumerate(batches):
    model.zero_grad()
    logits, hidden = model(inputs, hidden)
    loss = criterion(logits, targets)
    model.backward(criterion.backward())
    nn.optim.clip_grad_norm_(model.parameters(), 5.0)
    optimizer.step()
    if step == 20:
        break
nn.save(model, "language_model.safetensors")
model = nn.load("language_model.safetensors")
print(nn.generate(model, tokenizer, "it is a truth", max_tokens=30, stop="<eos>", rng=0))
"""
