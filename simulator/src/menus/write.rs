//! Commands that change the configuration: `add`, `set`, `unset`, `remove`, `enable`, `disable`,
//! `comment`, `move`; and `get`, which looks an item up as they do.
//!
//! A command is checked whole before anything changes: it happens or is refused, never half.

use routeros_api::server::{ReplyWriter, Request};

use super::{
    Scene,
    fields::{Config, Given, derived},
    registry::{self, Menu},
    table::{Item, Items, Table},
};
use crate::world::{
    World,
    logbook::What,
    model::{Ms, Plan},
};

/// Whether a command's last word is one of those that change something.
pub(super) fn writes(verb: &str) -> bool {
    matches!(
        verb,
        "add" | "set" | "unset" | "remove" | "enable" | "disable" | "comment" | "move"
    )
}

/// Why a command is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    message: String,
    category: Option<u8>,
}

fn refusal(message: impl Into<String>, category: impl Into<Option<u8>>) -> Refusal {
    Refusal {
        message: message.into(),
        category: category.into(),
    }
}

type Value = Vec<u8>;

/// One change of an item.
enum Step {
    Add {
        properties: Vec<(String, Value)>,
        before: Option<Value>,
    },
    Set(Value, String, Value),
    Unset(Value, String),
    Remove(Value),
    Shift(Value, Option<Value>),
}

/// A command that may happen.
pub(crate) struct Write {
    menu: &'static str,
    noun: &'static str,
    done: &'static str,
    steps: Vec<Step>,
}

/// Carries a command out, or refuses it, and answers. `before_it_happens` can still refuse.
pub fn write(
    world: &mut World,
    device: usize,
    now: Ms,
    request: &Request,
    replies: &mut ReplyWriter,
    before_it_happens: impl FnOnce() -> Result<(), String>,
) {
    let checked = check(world, device, now, request).and_then(|write| {
        before_it_happens().map_err(|reason| refusal(format!("failure: {reason}"), None))?;
        Ok(write)
    });
    match checked {
        Ok(write) => match write.happen(world, device) {
            Some(id) => replies.done_ret(request.tag(), id),
            None => replies.done(request.tag()),
        },
        Err(refusal) => {
            replies.trap(request.tag(), refusal.message, refusal.category);
            replies.done(request.tag());
        }
    }
}

/// What a command would do.
fn check(world: &World, device: usize, now: Ms, request: &Request) -> Result<Write, Refusal> {
    let scene = Scene {
        world,
        index: device,
        now,
    };
    let path = request.path();
    let (menu, verb) = path.rsplit_once('/').unwrap_or_default();
    let menu = registry::find(&scene, menu).ok_or_else(|| refusal("no such command", 0))?;
    let config = menu.config.ok_or_else(|| refusal("no such command", 0))?;
    let asked = Asked {
        scene: &scene,
        menu,
        config,
        request,
        rows: rows(&scene, menu),
    };
    let (done, steps) = match verb {
        "add" => ("added", asked.add()?),
        "set" => ("changed", asked.set()?),
        "unset" => ("changed", asked.unset()?),
        "comment" => ("changed", asked.set()?),
        "enable" => ("changed", asked.switch(b"false")?),
        "disable" => ("changed", asked.switch(b"true")?),
        "remove" => ("removed", asked.remove()?),
        _ => ("moved", asked.shift()?),
    };
    Ok(Write {
        menu: menu.path,
        noun: config.noun,
        done,
        steps,
    })
}

impl Write {
    /// Gives the id of what was added.
    fn happen(self, world: &mut World, device: usize) -> Option<String> {
        let mut id = None;
        let changed = world.configure(device, self.menu);
        for step in self.steps {
            match step {
                Step::Add { properties, before } => {
                    let boxed = properties
                        .into_iter()
                        .map(|(name, value)| (name.into_bytes().into(), value.into()));
                    let added = changed.add(boxed.collect());
                    if before.is_some() {
                        changed.shift(added.as_bytes(), before.as_deref());
                    }
                    id = Some(added);
                }
                Step::Set(id, name, value) => changed.set(&id, name.as_bytes(), &value),
                Step::Unset(id, name) => changed.unset(&id, name.as_bytes()),
                Step::Remove(id) => changed.remove(&id),
                Step::Shift(id, before) => changed.shift(&id, before.as_deref()),
            }
        }
        let by = match world.plan().devices[device].version.major {
            6 => Plan::USERNAME.to_owned(),
            _ => format!("api:{}", Plan::USERNAME),
        };
        let text = format!("{} {} by {by}", self.noun, self.done);
        world.note(device, What::Configured { text: text.into() });
        id
    }
}

/// A command and what it is about.
struct Asked<'a> {
    scene: &'a Scene<'a>,
    menu: &'static Menu,
    config: &'static Config,
    request: &'a Request,
    rows: Items,
}

impl Asked<'_> {
    fn add(&self) -> Result<Vec<Step>, Refusal> {
        let mut given = self.values()?;
        let mut properties: Vec<(String, Value)> = Vec::new();
        let mut put = |name: &str, value: Value| {
            let also = derived(self.menu.path, name, &value);
            properties.push((name.to_owned(), value));
            if let Some((also, value)) = also {
                properties.push((also.to_owned(), value));
            }
        };
        for field in self.config.fields {
            let own = given.iter().position(|(name, _)| name == field.name);
            match (own.map(|place| given.remove(place)), field.given) {
                (Some((name, value)), _) => put(&name, value),
                (None, Given::Required) => {
                    return Err(refusal(format!("missing ={}=", field.name), 0));
                }
                (None, Given::Default(value) | Given::Shown(value)) => {
                    put(field.name, value.into());
                }
                (None, Given::Optional) => {}
            }
        }
        if !given.iter().any(|(name, _)| name == "disabled") {
            put("disabled", b"false".to_vec());
        }
        for (name, value) in given {
            put(&name, value);
        }
        self.unique(&properties, None)?;
        let before = self.request.get("place-before").map(<[u8]>::to_vec);
        Ok(vec![Step::Add { properties, before }])
    }

    fn set(&self) -> Result<Vec<Step>, Refusal> {
        let values = self.values()?;
        let mut steps = Vec::new();
        for id in self.items()? {
            self.unique(&values, Some(&id))?;
            for (name, value) in &values {
                if let Some((also, value)) = derived(self.menu.path, name, value) {
                    steps.push(Step::Set(id.clone(), also.to_owned(), value));
                }
                steps.push(Step::Set(id.clone(), name.clone(), value.clone()));
            }
        }
        Ok(steps)
    }

    fn unset(&self) -> Result<Vec<Step>, Refusal> {
        let Some(name) = self.request.text("value-name") else {
            return Err(refusal("missing =value-name=", 0));
        };
        let field = self.config.field(name.as_bytes());
        if field.is_none_or(|field| field.given != Given::Optional) {
            return Err(refusal("input does not match any value of value-name", 1));
        }
        let items = self.items()?.into_iter();
        Ok(items
            .map(|id| Step::Unset(id, name.clone().into_owned()))
            .collect())
    }

    fn switch(&self, disabled: &[u8]) -> Result<Vec<Step>, Refusal> {
        let items = self.items()?.into_iter();
        let step = |id| Step::Set(id, "disabled".to_owned(), disabled.to_vec());
        Ok(items.map(step).collect())
    }

    fn remove(&self) -> Result<Vec<Step>, Refusal> {
        Ok(self.items()?.into_iter().map(Step::Remove).collect())
    }

    fn shift(&self) -> Result<Vec<Step>, Refusal> {
        let before = match self.request.get("destination") {
            Some(number) => Some(self.item(number)?),
            None => None,
        };
        let items = self.items()?.into_iter();
        Ok(items.map(|id| Step::Shift(id, before.clone())).collect())
    }

    /// The values given, as they will be shown.
    fn values(&self) -> Result<Vec<(String, Value)>, Refusal> {
        const ABOUT: [&[u8]; 4] = [b".id", b"numbers", b"place-before", b"copy-from"];
        let mut values = Vec::new();
        for (name, value) in self.request.attributes() {
            if ABOUT.contains(&name) || name.first() == Some(&b'.') {
                continue;
            }
            let Some(field) = self.config.field(name) else {
                // Version 7 says which.
                let shown = String::from_utf8_lossy(name);
                return Err(match self.scene.version_at_least(7, 0) {
                    true => refusal(format!("unknown parameter {shown}"), None),
                    false => refusal("unknown parameter", None),
                });
            };
            let interfaces = |wanted: &[u8]| interface_exists(self.scene, wanted);
            let read = field.kind.read(field.name, value, interfaces);
            let read = read.map_err(|message| refusal(message, 1))?;
            values.push((field.name.to_owned(), read));
        }
        Ok(values)
    }

    fn unique(&self, values: &[(String, Value)], own: Option<&[u8]>) -> Result<(), Refusal> {
        let Some((name, message)) = self.config.unique else {
            return Ok(());
        };
        let Some((_, value)) = values.iter().find(|(given, _)| given == name) else {
            return Ok(());
        };
        let taken = self.rows.iter().any(|row| {
            row.get(name.as_bytes()) == Some(value)
                && row.get(&b".id"[..]).map(Vec::as_slice) != own
        });
        match taken {
            true => Err(refusal(message, None)),
            false => Ok(()),
        }
    }

    /// Ids of the items that the command is about.
    fn items(&self) -> Result<Vec<Value>, Refusal> {
        if self.config.single {
            return Ok(vec![Vec::new()]);
        }
        let given = self
            .request
            .get(".id")
            .or_else(|| self.request.get("numbers"));
        let Some(numbers) = given else {
            return Err(refusal("missing =.id=", 0));
        };
        numbers
            .split(|byte| *byte == b',')
            .map(|number| self.item(number))
            .collect()
    }

    fn item(&self, number: &[u8]) -> Result<Value, Refusal> {
        item(&self.rows, number)
            .map(|(id, _)| id.clone())
            .ok_or_else(|| refusal("no such item", 0))
    }
}

/// An item by its id, or by its name.
fn item<'r>(rows: &'r Items, number: &[u8]) -> Option<(&'r Value, &'r Item)> {
    let by: &[u8] = if number.first() == Some(&b'*') {
        b".id"
    } else {
        b"name"
    };
    let same = |row: &&Item| {
        row.get(by)
            .is_some_and(|own| own.eq_ignore_ascii_case(number))
    };
    let found = rows.iter().find(same)?;
    Some((found.get(&b".id"[..])?, found))
}

/// All rows of a menu as it is configured.
fn rows(scene: &Scene<'_>, menu: &Menu) -> Items {
    let mut rows = Items::new();
    let changed = scene.world.configured(scene.index, menu.path);
    let mut replies = ReplyWriter::new();
    let request = Request::new(routeros_api::Sentence::default());
    let mut table = Table::new(&request, &mut replies, changed).into_items(&mut rows);
    (menu.print)(scene, &mut table);
    table.round(true);
    rows
}

fn interface_exists(scene: &Scene<'_>, name: &[u8]) -> bool {
    let menu = registry::find(scene, "/interface");
    menu.is_some_and(|menu| item(&rows(scene, menu), name).is_some())
}

fn knows(menu: &Menu, name: &[u8]) -> bool {
    menu.config
        .is_some_and(|config| config.field(name).is_some())
}

/// `get`: one property of one item, or all of them in one text.
pub(super) fn get(scene: &Scene<'_>, menu: &Menu, request: &Request, replies: &mut ReplyWriter) {
    let rows = rows(scene, menu);
    let number = request.get(".id").or_else(|| request.get("number"));
    let number = number.or_else(|| request.get("numbers"));
    let found = match number {
        Some(number) => item(&rows, number).map(|(_, row)| row),
        None => rows.first().filter(|row| !row.contains_key(&b".id"[..])),
    };
    let answer = match (found, request.get("value-name")) {
        (None, _) if number.is_none() => Err(refusal("missing =.id=", 0)),
        (None, _) => Err(refusal("no such item", 0)),
        (Some(row), Some(name)) => match row.get(name) {
            Some(value) => Ok(value.clone()),
            // Known, and not there: nothing.
            None if knows(menu, name) => Ok(Value::new()),
            None => Err(refusal("input does not match any value of value-name", 1)),
        },
        (Some(row), None) => {
            let pair = |(name, value): (&Value, &Value)| [name, &b"="[..], value].concat();
            Ok(row.iter().map(pair).collect::<Vec<_>>().join(&b';'))
        }
    };
    match answer {
        Ok(value) => replies.done_ret(request.tag(), value),
        Err(refusal) => {
            replies.trap(request.tag(), refusal.message, refusal.category);
            replies.done(request.tag());
        }
    }
}
