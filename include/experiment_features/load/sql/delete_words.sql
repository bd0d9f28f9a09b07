-- Deletes the words of names that a load has changed. Grain: word of a name.
delete from {words} as words
using {past_words} as past
where words.name_from = past.name_from and words.{key} = past.{key}
