-- Deletes the words of names that a load has changed. Grain: word of a name.
delete from {words} as words
using {staged_words} as staged
where
    words.name_from = staged.name_from
    and words.{key} = staged.{key}
    and staged.is_new = 0
